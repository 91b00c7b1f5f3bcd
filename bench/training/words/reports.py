"""Sentences with people, organizations and places in them, and some with none.

`P`, `O` and `L` stand for a person, an organization and a place. Each stands where only its kind
can: nobody can say whether "Zanvor won" tells of a team or of a man.
"""

from bench.training.words.listing import lines

NAMED = lines("""
{P} works at {O} in {L}.
{P} works at {O}.
{P} works for {O}.
{P} lives in {L}.
{P} lives in {L} and works for {O}.
{P} was born in {L}.
{P} grew up in {L}, but now lives in {L2}.
{P} moved from {L} to {L2}.
{P} moved to {L} with {P2}.
{P} met {P2} in {L}.
{P} and {P2} went to {L} for a week.
{P} and {P2} are friends.
{P} told {P2} that he was tired.
{P}, who lives in {L}, studies at {O}.
{P} joined {O} last year.
{P} resigned from {O} on Friday.
{P} is the head of {O}.
{P} is a doctor in {L}.
{P} is married to {P2}.
{P} flew from {L} to {L2} on Monday.
{P} is a teacher and lives in {L}.
{P} said that the train was late.
{P} said that she would never leave {L}.
{P} wrote a letter to {P2}.
{P} got a job at {O}.
{P} and {P2} both work for {O}.
{P} called his mother.
{O} hired {P} in May.
{O} hired {P} and {P2}.
{O} opened a new office in {L}.
{O} opened offices in {L} and {L2}.
{O} was founded by {P} in {L}.
{O} was founded in {L}.
{O} is based in {L}.
{O} moved its headquarters from {L} to {L2}.
{O} announced its results on Tuesday.
{O} announced that its profits had doubled.
{O} has appointed {P} as its new director.
{O} bought {O2} for ten million dollars.
{O} and {O2} have merged.
Shares of {O} fell on Monday.
The mayor of {L} is {P}.
The mayor of {L} met {P} yesterday.
The director of {O} is {P}.
The president of {O}, {P}, lives in {L}.
Flights from {L} to {L2} were cancelled.
It is raining in {L}.
It will snow in {L} tomorrow.
Yesterday {P} flew to {L}.
Last year {P} studied at {O} in {L}.
My friend {P} lives in {L}.
My cousin {P} works at {O}.
My name is {P} and I live in {L}.
My name is {P}.
I am {P} and I work for {O}.
I met {P} in {L}.
I met {P} at the station.
We visited {L} and {L2} in the summer.
We live in {L}.
The train from {L} to {L2} leaves at noon.
The engineer {P} left {O} in March.
In {L}, {O} employs two hundred people.
Two employees of {O} travelled to {L}.
{P} lives in {L} and {P2} in {L2}.
{P} is from {L}.
{P} comes from {L} and works at {O}.
The lawyer {P} sued {O}.
""")

# Subjects before the colon, what may be said of each of them after it.
NAMELESS = lines("""
the cat, the dog, the baby, the bird: is sleeping, is in the garden, is hungry, made a lot of noise
the weather, the day, the evening: is very nice, was cold, will be better tomorrow
my brother, her sister, our neighbor, the old man: is not here, went home early, likes the rain
the teacher, the doctor, the driver: was late again, is tired, looked out of the window
the train, the bus, the taxi: stopped at the corner, was late, will arrive soon, is yellow
the soup, the bread, the coffee: was too expensive, is on the table, is cold, tastes good
the phone, the book, the lamp: is new, is on the shelf, was a present, fell on the floor
the garden, the river, the street: needs some rain, is behind the house, looks very nice
the meeting, the lesson, the film: was long, starts at noon, will be in the morning
""")
