"""Training crops and augmentation."""
