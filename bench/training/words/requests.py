"""What people ask tools to look for, to write and to remember."""

from bench.training.words.listing import lines, words

TOPICS = lines("""
cheap flights
jazz concerts
vegan recipes
used cars
running shoes
chess openings
python tutorials
hiking trails
electric bikes
garden plants
train tickets
old maps
wedding cakes
solar panels
guitar lessons
cat food
modern art
summer jobs
coffee machines
French grammar
black holes
sea turtles
board games
winter coats
""")

ERRANDS = lines("""
call the doctor
buy milk
feed the cat
water the plants
pay the rent
take out the trash
walk the dog
pick up the children
send the letter
close the window
wash the car
book the hotel
clean the kitchen
read the report
bake a cake
meet the teacher
""")

TEXTS = lines("""
I will be late
See you tomorrow
Happy birthday
The meeting is at noon
Good morning
Thank you for your help
Please call me back
I am on my way
The train is late
Dinner is ready
Where are you?
Good luck
I found the key
We are at home
The door is open
See you on Monday
I like your idea
The cat is sleeping
Congratulations
Do not wait for me
""")

ROOMS = ("kitchen", "bedroom", "bathroom", "office", "hall", "garage", "living room", "basement")
GOODS = ("apples", "eggs", "lemons", "onions", "bananas", "candles", "carrots", "tomatoes", "pens")
LANGUAGES = tuple(words("French German Spanish Italian Chinese Japanese Polish Dutch Greek Korean"))
CONDITIONS = ("sunny", "cloudy", "rainy", "windy", "snowy", "foggy", "cold", "warm")
