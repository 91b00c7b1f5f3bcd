"""What people have opinions on, and the words they have for them."""

from bench.training.words.listing import lines, words

POSITIVE = words("""
good great excellent wonderful fantastic amazing lovely nice superb perfect brilliant delightful
pleasant outstanding beautiful impressive terrific marvelous charming enjoyable awesome remarkable
splendid magnificent incredible fabulous stunning satisfying fine decent phenomenal exceptional
""")

NEGATIVE = words("""
bad terrible awful horrible dreadful poor disappointing boring unpleasant ugly disgusting useless
annoying dull weak appalling miserable atrocious lousy horrid frustrating dismal pathetic
unacceptable shabby unbearable depressing tedious nasty inferior tiresome hopeless
""")

NEUTRAL = ["okay", "average", "ordinary", "standard", "normal", "usual", "neither good nor bad"]

# What fits everything stands above; these fit one domain alone.
DOMAINS = {
    "films": {
        "one": "film movie plot ending soundtrack acting story cast script scene",
        "many": "actors effects dialogues scenes songs costumes",
        "positive": "gripping moving funny exciting clever touching",
        "negative": "predictable slow confusing silly forgettable",
    },
    "food": {
        "one": "food soup pizza meal dessert coffee salad pasta curry cake dinner bread",
        "many": "noodles desserts portions vegetables drinks dishes",
        "positive": "delicious tasty fresh crispy flavorful",
        "negative": "bland burnt stale tasteless greasy soggy",
    },
    "hotels": {
        "one": "hotel room bed pool view breakfast bathroom lobby apartment",
        "many": "rooms beds towels pillows views",
        "positive": "clean comfortable spacious cozy quiet",
        "negative": "dirty noisy cramped uncomfortable smelly",
    },
    "phones": {
        "one": "phone screen battery camera keyboard laptop tablet charger app product",
        "many": "speakers buttons photos headphones cameras",
        "positive": "fast reliable sturdy handy",
        "negative": "slow broken unreliable flimsy fragile",
    },
    "books": {
        "one": "book novel story chapter cover ending biography plot",
        "many": "characters chapters illustrations poems stories",
        "positive": "gripping moving funny inspiring captivating",
        "negative": "predictable confusing shallow forgettable repetitive",
    },
    "service": {
        "one": "service waiter receptionist driver guide team doctor delivery",
        "many": "waiters drivers nurses employees guides teachers",
        "positive": "friendly helpful polite kind professional attentive",
        "negative": "rude slow unfriendly careless unhelpful impolite",
    },
}

WHOLE = words("film movie book novel hotel restaurant phone laptop product game song show place")

LIKED = words("loved enjoyed liked adored appreciated")
DISLIKED = words("hated disliked despised regretted loathed")
LIKE = words("love enjoy like adore appreciate recommend")
DISLIKE = words("hate dislike despise regret loathe")
PLEASED = ["happy with", "pleased with", "impressed by", "delighted with", "satisfied with"]
DISPLEASED = ["unhappy with", "disappointed by", "annoyed by", "frustrated with", "angry about"]

PRAISE = lines("""
I would recommend it to everyone.
Worth every penny.
I will come back.
We had a great time.
It exceeded my expectations.
I could not be happier.
Five stars.
It works perfectly.
Everything was perfect.
I can't wait to go back.
It made my day.
Highly recommended.
Thank you so much!
I would buy it again.
My children love it.
""")

BLAME = lines("""
A waste of money.
A waste of time.
I want my money back.
Never again.
Do not buy it.
It broke after a week.
I regret buying it.
I will never come back.
One star.
It stopped working after two days.
Everything went wrong.
I would not recommend it.
Stay away!
We left early.
I am still waiting for a refund.
""")

# Facts: the braces are filled with a number, a color, a day or a month.
FACTS = lines("""
The film lasts {number} hours.
The film was made in {year}.
The movie starts at {number} o'clock.
The movie has {number} main characters.
The book has {hundred} pages.
The book was printed in {year}.
The novel has {number} chapters.
The hotel is next to the station.
The hotel has {hundred} rooms.
The room has {number} windows.
The room is on the {floor} floor.
The phone comes in {color}.
The phone has {number} cameras.
The laptop weighs {number} pounds.
The restaurant opens at {number} o'clock.
The restaurant is closed on {day}.
The soup contains carrots and onions.
The salad comes with bread.
We ordered the soup and the pizza.
We ordered {number} coffees.
We arrived on {day}.
We stayed for {number} nights.
I bought the phone in {month}.
I bought the {color} one.
I read the book in {month}.
I watched the film on {day}.
My brother has the same phone.
The package arrived on {day}.
The package contains {number} cables.
The waiter brought the menu.
The driver came at {number} o'clock.
The table was made of wood.
The cover is {color}.
The towels are {color}.
Breakfast is served until {number} o'clock.
The bus stops in front of the hotel.
The shop is on the {floor} floor.
The story takes place in {month}.
The store sells books and games.
The concert was on {day}.
""")
