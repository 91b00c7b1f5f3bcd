"""When something is done: at the end in English and French, behind the subject in Chinese."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Time:
    english: str
    french: str
    chinese: str


EVERY_DAY = Time("every day", "tous les jours", "每天")
TIMES = (
    Time("today", "aujourd'hui", "今天"),
    EVERY_DAY,
    Time("in the morning", "le matin", "早上"),
    Time("in the evening", "le soir", "晚上"),
    Time("on Monday", "lundi", "星期一"),
    Time("on Tuesday", "mardi", "星期二"),
    Time("on Wednesday", "mercredi", "星期三"),
    Time("on Thursday", "jeudi", "星期四"),
    Time("on Friday", "vendredi", "星期五"),
    Time("on Saturday", "samedi", "星期六"),
    Time("on Sunday", "dimanche", "星期日"),
)
