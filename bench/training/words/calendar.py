"""Days, months, colors and other small closed lists."""

from bench.training.words.listing import words

DAYS = words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
MONTHS = words(
    "January February March April May June July August September October November December"
)
COLORS = words("red blue green yellow black white brown gray orange purple pink silver")
FLOORS = words("first second third fourth fifth sixth")
NUMBERS = words("two three four five six seven eight nine ten eleven twelve")
