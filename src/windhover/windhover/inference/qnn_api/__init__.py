"""A binding of the QNN C API, as far as running a .dlc on the HTP takes it.

The layers, each of which uses those before it: :mod:`.structs` (memory layouts),
:mod:`.errors` (status codes by name), :mod:`.functions` (slots and arguments),
:mod:`.library` (loading and the version gate), :mod:`.log`, :mod:`.device`,
:mod:`.tensors`, :mod:`.binary` (what a saved context is), :mod:`.context`
(compose, finalise, save, load, execute), :mod:`.power` and :mod:`.profile`.

Nothing here is shared between threads: a context, its device and what else was
made on that device belong to one thread at a time. Handles are freed in the
order profile, power vote, context, device.
"""
