"""Names of what people may carry."""

from typing import Final

#: Kinds that the truth labels ``weapon``.
WEAPON_KINDS: Final = ("rifle", "shotgun", "pistol")
#: Harmless kinds, which the truth does not label.
LOOKALIKES: Final = ("umbrella", "closed_umbrella", "stick", "shovel", "phone", "long_bag", "pipe")
