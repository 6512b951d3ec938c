"""One picture from two cameras: pairing in time, registration, calibration."""
