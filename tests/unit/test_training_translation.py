"""The translations that the embedded model is taught."""

import re
from random import Random

import pytest

from bench.training.languages import chinese, composing, english, french
from bench.training.languages.meaning import (
    Action,
    Clause,
    Going,
    Mood,
    Position,
    Presence,
    Quality,
    Showing,
    Subject,
    Thing,
    Trade,
    Which,
)
from bench.training.languages.parts import combinations, words_in_slots
from bench.training.languages.translating import Translation
from bench.training.split import is_held_out
from bench.training.tasks import english_chinese, english_french
from bench.training.words import verbs
from bench.training.words.adjectives import ADJECTIVES
from bench.training.words.nouns import NOUNS, TRADES, Noun
from bench.training.words.places import PLACES, SPOTS
from bench.training.words.pronouns import NAMES, ONLY_CHINESE, ONLY_FRENCH, PRONOUNS

FRENCH = Translation("french", "French", french.say, french.comes_back, ONLY_FRENCH, column=1)
CHINESE = Translation("chinese", "Chinese", chinese.say, chinese.comes_back, ONLY_CHINESE, column=2)
BOTH = pytest.mark.parametrize("translation", [FRENCH, CHINESE], ids=["french", "chinese"])
TASKS = pytest.mark.parametrize("task", [english_french, english_chinese])

ME, YOU, HE, SHE, WE, THEY = PRONOUNS
ANNA = NAMES[0]
AT_SCHOOL, AT_THE_MARKET = PLACES[2], PLACES[3]
ADJECTIVE = {adjective.english: adjective for adjective in ADJECTIVES}
VERB = {verb.english: verb for verb in (*verbs.INTRANSITIVE, *verbs.TRANSITIVE)}


def noun(english: str) -> Noun:
    return next(one for one in NOUNS if one.english == english)


def the(english: str, adjective: str = "", *, plural: bool = False) -> Thing:
    return some(english, Which.THE, adjective, plural=plural)


def some(english: str, which: Which, adjective: str = "", *, plural: bool = False) -> Thing:
    return Thing(noun(english), which, plural, adjective=ADJECTIVE.get(adjective))


def two(english: str, adjective: str = "") -> Thing:
    return Thing(noun(english), Which.A, True, 2, ADJECTIVE.get(adjective))


def does(
    subject: Subject, verb: str, thing: Thing | None = None, mood: Mood = Mood.PLAIN
) -> Clause:
    return Clause(subject, Action(VERB[verb], thing), mood)


@pytest.mark.parametrize(
    ("clause", "said"),
    [
        (
            does(the("cat", "black"), "sleep"),
            "The black cat sleeps. | Le chat noir dort. | 黑色的猫睡觉。",
        ),
        (
            does(ME, "have", two("apple", "red")),
            "I have two red apples. | J'ai deux pommes rouges. | 我有两个红色的苹果。",
        ),
        (
            does(SHE, "read", some("book", Which.A, "old")),
            "She reads an old book. | Elle lit un vieux livre. | 她读一本旧书。",
        ),
        (
            does(WE, "like", some("cat", Which.SOME, plural=True)),
            "We like cats. | Nous aimons les chats. | 我们喜欢猫。",
        ),
        (
            does(ME, "eat", some("egg", Which.SOME, "good", plural=True), Mood.NOT),
            "I do not eat good eggs. | Je ne mange pas de bons œufs. | 我不吃好鸡蛋。",
        ),
        (
            does(HE, "drink", some("water", Which.SOME)),
            "He drinks water. | Il boit de l'eau. | 他喝水。",
        ),
        (
            does(ANNA, "have", some("car", Which.A), Mood.NOT),
            "Anna does not have a car. | Anna n'a pas de voiture. | 安娜没有车。",
        ),
        (
            does(HE, "see", some("egg", Which.THIS), Mood.NOT),
            "He does not see this egg. | Il ne voit pas cet œuf. | 他看不见这个鸡蛋。",
        ),
        (
            does(the("child", plural=True), "sing"),
            "The children sing. | Les enfants chantent. | 孩子们唱歌。",
        ),
        (
            Clause(the("house"), Quality(ADJECTIVE["big"]), Mood.ASKED),
            "Is the house big? | Est-ce que la maison est grande ? | 房子大吗？",
        ),
        (
            Clause(the("door", plural=True), Quality(ADJECTIVE["green"]), Mood.NOT),
            "The doors are not green. | Les portes ne sont pas vertes. | 门不是绿色的。",
        ),
        (
            Clause(SHE, Quality(ADJECTIVE["happy"])),
            "She is happy. | Elle est heureuse. | 她很高兴。",
        ),
        (
            Clause(the("man"), Quality(ADJECTIVE["old"])),
            "The man is old. | L'homme est vieux. | 男人很老。",
        ),
        (
            Clause(some("friend", Which.MY, "old"), Position(AT_SCHOOL)),
            "My old friend is at school. | Mon vieil ami est à l'école. | 我的老朋友在学校里。",
        ),
        (
            Clause(the("book"), Position(SPOTS[0])),
            "The book is on the table. | Le livre est sur la table. | 书在桌子上。",
        ),
        (
            Clause(THEY, Going(AT_THE_MARKET)),
            "They go to the market. | Ils vont au marché. | 他们去市场。",
        ),
        (
            Clause(ANNA, Trade(TRADES[2]), Mood.ASKED),
            "Is Anna a student? | Est-ce qu'Anna est étudiante ? | 安娜是学生吗？",
        ),
        (
            Clause(some("key", Which.YOUR), Showing(), Mood.NOT),
            "This is not your key. | Ce n'est pas votre clé. | 这不是你的钥匙。",
        ),
        (
            Clause(some("bird", Which.A), Presence(AT_SCHOOL), Mood.NOT),
            "There is no bird at school. | Il n'y a pas d'oiseau à l'école. | 学校里没有鸟。",
        ),
        (
            does(Thing(noun("boy"), Which.A, True, 8), "sing", mood=Mood.ASKED),
            "Do eight boys sing? | Est-ce que huit garçons chantent ? | 八个男孩唱歌吗？",
        ),
    ],
)
def test_a_meaning_is_said_in_three_languages(clause: Clause, said: str) -> None:
    assert " | ".join((english.say(clause), french.say(clause), chinese.say(clause))) == said


def test_what_goes_on_is_told_apart_in_chinese_only() -> None:
    sleeping = Clause(the("cat"), Action(VERB["sleep"], going_on=True))
    assert english.say(sleeping) == "The cat is sleeping."
    assert chinese.say(sleeping) == "猫在睡觉。"
    assert chinese.comes_back(sleeping)
    assert french.say(sleeping) == "Le chat dort."
    assert not french.comes_back(sleeping)


@BOTH
def test_no_sentence_has_two_translations(translation: Translation) -> None:
    random, there, back = Random(1), dict[str, str](), dict[str, str]()
    for _ in range(6000):
        clause = composing.compose(random)
        said = translation.say(clause)
        assert there.setdefault(english.say(clause), said) == said
        clause = composing.compose(random, (*PRONOUNS, *translation.more_pronouns))
        if translation.comes_back(clause):
            said = english.say(clause)
            assert back.setdefault(translation.say(clause), said) == said


@TASKS
def test_no_held_out_request_is_taught(task: Translation) -> None:
    random = Random(2)
    taught = {str(task.taught(random).messages) for _ in range(3000)}
    assert not taught & {str(task.held_out(random).messages) for _ in range(1500)}


def test_no_held_out_sentence_is_taught_with_another_request() -> None:
    random, taught, held_out = Random(5), set[str](), set[str]()
    for _ in range(5000):
        clause = composing.compose(random)
        (held_out if is_kept_out(clause) else taught).add(english.say(clause))
    assert not taught & held_out


def is_kept_out(clause: Clause) -> bool:
    return any(is_held_out(*part) for part in (*words_in_slots(clause), *combinations(clause)))


@BOTH
def test_what_is_held_out_has_a_new_word_or_a_new_combination(translation: Translation) -> None:
    random = Random(3)
    drawn = [translation.kept_out(random) for _ in range(400)]
    words = sum(one.new_word for one in drawn)
    assert all(one.new_word or one.new_combination for one in drawn)
    assert 150 < words < 250


def test_every_word_is_taught_somewhere() -> None:
    random, seen = Random(4), set[str]()
    for _ in range(8000):
        clause = composing.compose(random)
        if not is_kept_out(clause):
            seen |= set(re.findall(r"[a-z]+", english.say(clause).lower()))
    words = [*(noun.english for noun in NOUNS), *ADJECTIVE, *VERB]
    assert {word.split()[0] for word in words} <= seen
