"""Who has how much with the engines. Pure.

A party is a tenant in one class. It holds few when it has less than the mean of all parties that
have anything there, and nobody has who is more urgent: a flood must not stand in the way of who
asks now and then, and who floods never holds few.
"""

from collections import Counter, OrderedDict

from deployments.scheduling.terms import Level, Terms

LATELY_S = 10.0
"""Who asked within that may ask again."""

Party = tuple[str, Level]


class Holdings:
    """Sequences with engines, by party."""

    def __init__(self) -> None:
        self._by_party: Counter[Party] = Counter()
        self._by_level: Counter[Level] = Counter()
        self._asked_at: OrderedDict[Party, float] = OrderedDict()
        """The last time of each party that did lately, in that order."""

    def __len__(self) -> int:
        return self._by_level.total()

    @property
    def mean(self) -> float:
        """Of those who have any; 0 when nobody has."""
        return len(self) / max(1, len(self._by_party))

    def of(self, terms: Terms) -> int:
        """What the party of these terms has."""
        return self._by_party[_party(terms)]

    def are_few(self, terms: Terms) -> bool:
        """Whether that party holds few."""
        more_urgent = any(self._by_level[level] for level in Level if level < terms.level)
        return not more_urgent and self.of(terms) < self.mean

    def others_hold_few(self, terms: Terms, now: float) -> bool:
        """Whether one that asked lately holds few, of those that are no less urgent."""
        mean, mine = self.mean, _party(terms)
        return any(
            party != mine and party[1] <= terms.level and self._by_party[party] < mean
            for party, at in self._asked_at.items()
            if now - at <= LATELY_S
        )

    def add(self, terms: Terms, now: float) -> None:
        """One more is with an engine."""
        party = _party(terms)
        self._by_party[party] += 1
        self._asked_at[party] = now
        self._asked_at.move_to_end(party)
        while now - next(iter(self._asked_at.values())) > LATELY_S:
            self._asked_at.popitem(last=False)
        self._by_level[terms.level] += 1

    def drop(self, terms: Terms) -> None:
        """One is no longer there."""
        party = _party(terms)
        self._by_party[party] -= 1
        self._by_level[terms.level] -= 1
        if not self._by_party[party]:
            del self._by_party[party]


def _party(terms: Terms) -> Party:
    return terms.tenant, terms.level
