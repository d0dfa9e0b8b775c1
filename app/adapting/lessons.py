"""What a model learns from: batches made of documents and questions with known answers.

A step takes a few documents. Of each it cuts a window into references exactly as ingest does, and asks what
the data asks about that window; every question reads the references that answer it among others of the same
document (hard) and of other documents (easy). Beside them go

* questions that two documents answer, the one that is meant and a rival, to be answered from one of them;
* questions that their document does not answer, to be answered by the fixed sentence;
* a few that read only memories of other documents, to be answered as if there were none;
* documents that go on from the memories of what came before (Memory^3, section 4.4, continual training);
* references re-read as text, and plain conversation in which the frozen model says what to say, its own
  replies to ordinary requests among them, so that the base abilities stay.

A batch depends on the seed and the number of its step alone.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from app.adapting.mix import LEARNING, QUESTIONS, Mix
from app.adapting.templates import called, kind, natural, request, unnamed
from app.answering.abstaining import ABSTENTION
from app.answering.asking import passage_text
from app.measuring.questions import Answered, Context, Question
from app.profiles import profile
from engine.adapt.batch import Batch, Sample
from engine.format import CHUNK_TOKENS, MEMORIES_PER_CHUNK
from engine.protocol import Message, Tokens
from ingest.chunk import chunk
from ingest.document import Page

WINDOW = 2600  # characters on either side of an answer
LONGEST_ANSWER = 64  # tokens; what is longer is learnt up to its last whole sentence before
LONGEST_PROMPT = 200
DOCUMENTS, REFERENCES = 4, 3  # documents to a step; references of each
PLAIN = 3  # conversations or texts without documents, in the steps that have some
DRAWN = {  # how often a data set is drawn; 1 where it is not named
    "CUAD_v1": 3.0,
    "SQuAD-2.0": 3.0,
    "SQuAD-1.1": 1.0,
    "XQuAD-en": 0.0,  # part of the one above
    "QED-NaturalQuestions": 2.0,
    "COVID-QA-200423": 2.0,
    "MedQuAD": 2.5,
    "PubMedQA-L": 0.5,
    "LegalBench": 0.4,
}

_SHORT = {"yes": "Yes.", "no": "No.", "maybe": "Maybe."}


@dataclass(frozen=True)
class Asked:
    """domain: legal, medical or general: whose instructions go with the question."""

    domain: str
    question: Question


@dataclass(frozen=True)
class Piece:
    """A reference of a document. start, end: code points of the context's text. text: as in a prompt.
    answers: which questions it answers that are asked of many documents, by `templates.kind`.
    """

    start: int
    end: int
    ids: tuple[int, ...]
    body: tuple[int, ...]
    text: str
    answers: frozenset[str]


@dataclass
class Draft:
    """A batch in the making. owners: number of the document that each reference is of."""

    references: list[Piece]
    owners: list[int]
    samples: list[Sample]

    def text(self, references: Sequence[int]) -> str:
        return "".join(self.references[i].text for i in references)

    def others(self, owner: int, sort: str | None) -> tuple[list[int], list[int]]:
        """References of other documents: those that answer a question of this sort, and the rest."""
        of = [i for i, each in enumerate(self.owners) if each != owner]
        rivals = [i for i in of if sort in self.references[i].answers]
        return rivals, [i for i in of if i not in rivals]


class Lessons:
    """Batches about `contexts`.

    prompt_ids: conversation to token ids. end: the token that ends an answer. texts: to go on with, beside
    the contexts. Raises ValueError if no question has its context.
    """

    def __init__(
        self,
        tokenize: Callable[[str], Tokens],
        prompt_ids: Callable[[Sequence[Message]], list[int]],
        end: int,
        asked: Sequence[Asked],
        contexts: dict[str, Context],
        texts: Sequence[Context],
        seed: int | str,
        mix: Mix = LEARNING,
    ) -> None:
        self._tokenize, self._prompt_ids, self._end = tokenize, prompt_ids, end
        self._seed, self._mix = seed, mix
        names = {key: called(context.title) for key, context in contexts.items()} if mix.named else {}
        self._names = {key: name for key, name in names.items() if name}
        contexts = contexts | {key: replace(contexts[key], title=name) for key, name in self._names.items()}
        self._contexts, self._texts = contexts, [*texts, *contexts.values()]
        self._answered: dict[str, list[tuple[str, Answered]]] = defaultdict(list)  # by context
        alike: dict[str, dict[str, Asked]] = defaultdict(dict)  # by kind and context
        about: dict[str, dict[str, list[Asked]]] = defaultdict(lambda: defaultdict(list))
        for each in asked:
            if each.question.context_id in contexts:
                about[_data_set(each.question)][each.question.context_id].append(each)
                if each.question.answers and (sort := kind(each.question)):
                    alike[sort][each.question.context_id] = each
                    self._answered[each.question.context_id] += [(sort, a) for a in each.question.answers]
        self._about = {dataset: dict(of) for dataset, of in about.items() if DRAWN.get(dataset, 1.0) > 0}
        if not self._about:
            raise ValueError(
                "none of the questions has its context; give the contexts file that belongs to them"
            )
        self._alike = [list(of.values()) for of in alike.values() if len(of) > 1]
        self._weights = [DRAWN.get(dataset, 1.0) for dataset in self._about]

    def batch(self, step: int) -> Batch:
        """The batch of a step."""
        generator = random.Random(f"{self._seed}/{step}")
        draft = Draft([], [], [])
        rivals = self._rivals(generator) if self._mix.rivals and self._alike else []
        rest = (self._anchor(generator) for _ in range(DOCUMENTS - len(rivals)))
        drawn = dict(self._document(anchor, generator) for anchor in chain(rivals, rest))
        documents = list(drawn.values())  # one drawn twice counts once, or its memories would be wrong ones
        if generator.random() < self._mix.continued:
            documents.pop()
            self._continue(draft, generator)
        chosen = [self._references(pieces, asked, generator) for pieces, asked in documents]
        places = []
        for owner, (references, _) in enumerate(chosen):
            places.append(range(len(draft.references), len(draft.references) + len(references)))
            draft.references += references
            draft.owners += [owner] * len(references)
        for owner, (references, asked) in enumerate(chosen):
            if self._mix.as_text:
                self._ask_beside_text(draft, asked, owner, generator)
                continue
            for each in asked:
                self._ask(draft, each, owner, references, places[owner], generator)
        if generator.random() < self._mix.plain:
            for _ in range(PLAIN):
                self._keep(draft, generator)
        return Batch(tuple(piece.ids for piece in draft.references), tuple(draft.samples))

    def _anchor(self, generator: random.Random) -> Asked:
        of = self._about[generator.choices(list(self._about), self._weights)[0]]
        return generator.choice(of[generator.choice(list(of))])

    def _rivals(self, generator: random.Random) -> list[Asked]:
        """What two documents are asked alike and both answer, in as many steps as the mix says."""
        if generator.random() >= self._mix.rivals:
            return []
        return generator.sample(generator.choice(self._alike), 2)

    def _document(
        self, anchor: Asked, generator: random.Random
    ) -> tuple[str, tuple[list[Piece], list[Asked]]]:
        """A context's id, pieces of a window of it, and questions about it, the anchor first."""
        context = self._contexts[anchor.question.context_id]
        asked = self._about[_data_set(anchor.question)][context.id]
        answers = anchor.question.answers
        at = answers[0].start if answers else generator.randrange(len(context.text) + 1)
        pieces = self._pieces(context, max(0, at - generator.randrange(WINDOW)), at + WINDOW)
        others = [each for each in asked if each is not anchor]
        generator.shuffle(others)
        return context.id, (pieces, [anchor, *others])

    def _pieces(self, context: Context, start: int, end: int) -> list[Piece]:
        """References of a stretch of a document, cut as ingest cuts them."""
        if start:  # from a whole word on
            start = context.text.find(" ", start) + 1 or start
        window = context.text[start:end]
        answered = self._answered.get(context.id, ())
        found = []
        for reference in chunk([Page(1, "1", window)], self._tokenize, context.title):
            body = window[reference.start : reference.end]
            at, to = start + reference.start, start + reference.end
            found.append(
                Piece(
                    at,
                    to,
                    reference.token_ids,
                    reference.token_ids[reference.header_tokens :],
                    passage_text(context.title, reference.heading_path, body),
                    frozenset(sort for sort, answer in answered if answer.start < to and at < answer.end),
                )
            )
        return found

    def _references(
        self, pieces: list[Piece], asked: list[Asked], generator: random.Random
    ) -> tuple[list[Piece], list[Asked]]:
        """At most REFERENCES of the pieces, and the questions that they answer or that nothing does."""
        needed: dict[int, Piece] = {}
        chosen: list[Asked] = []
        unanswerable = 1 if generator.random() < self._mix.unanswerable else 0
        for each in asked:
            right = _right(each.question, pieces)
            more = {i: pieces[i] for i in right if i not in needed}
            if each.question.answers and (not right or len(needed) + len(more) > REFERENCES):
                continue
            if each.question.unanswerable:
                unanswerable -= 1
                if unanswerable < 0:
                    continue
            elif not each.question.answers and each.question.gold.lower() not in _SHORT:
                continue
            needed |= more
            chosen.append(each)
            if len(chosen) == QUESTIONS:
                break
        rest = [i for i in range(len(pieces)) if i not in needed]
        first = rest[:1] if any(not each.question.answers for each in chosen) else []
        for i in [*first, *generator.sample(rest, len(rest))]:
            if len(needed) < REFERENCES:
                needed[i] = pieces[i]
        return [needed[i] for i in sorted(needed)], chosen

    def _ask(
        self,
        draft: Draft,
        asked: Asked,
        owner: int,
        references: list[Piece],
        places: range,
        generator: random.Random,
    ) -> None:
        question = self._as_people_ask(asked.question, generator)
        answer = self._answer(question)
        # without a place for its answer, a question is about all that was cut from its document
        known = [places[i] for i in _right(question, references)] if question.answers else list(places)
        right, mine = known, [i for i in places if i not in known]
        rivals, others = draft.others(owner, self._sort(asked))
        if generator.random() < self._mix.wrong_only and question.answers:
            right, mine, rivals = [], [], []
        if not question.answers and self._contexts[question.context_id].title not in question.text:
            rivals = []  # they would answer what is to be declined
        room = MEMORIES_PER_CHUNK
        if generator.random() < self._mix.fewer:
            room = generator.randint(1, MEMORIES_PER_CHUNK)
        found = [*right, *generator.sample(rivals, len(rivals))]
        found += [*generator.sample(mine, len(mine)), *generator.sample(others, len(others))]
        read = found[:room]
        generator.shuffle(read)
        # nothing is drawn for it, so that the same is asked in the same words, however many memories are read
        most = max(self._mix.references, len(right))
        read = [i for i in read if i in found[:most]]
        if room == MEMORIES_PER_CHUNK:
            read += found[room:most]
        system = profile(generator.choice((asked.domain, "general"))).system
        text = _wording(question)
        prompt = self._prompt(system, text)
        if prompt is None:
            return
        teacher = None
        taught = question.answers or self._mix.taught_all
        if generator.random() < self._mix.distilled / QUESTIONS and taught:
            shown = read if self._mix.taught_all else right
            teacher = self._prompt(system, draft.text(shown) + text, longer=6)
        weight = self._mix.distillation if teacher else 0.0
        draft.samples.append(Sample(prompt, answer, tuple(read), teacher, weight, asked.domain))
        if generator.random() < self._mix.reread / QUESTIONS:
            shown = [*known, *[i for i in places if i not in known][:1]]
            generator.shuffle(shown)
            reread = self._prompt(system, draft.text(shown) + text, longer=4)
            if reread is not None:
                draft.samples.append(Sample(reread, answer, None))

    def _ask_beside_text(
        self, draft: Draft, asked: Sequence[Asked], owner: int, generator: random.Random
    ) -> None:
        """All questions about a document behind the same references, which are then computed once."""
        places = [i for i, of in enumerate(draft.owners) if of == owner]
        rivals, others = draft.others(owner, self._sort(asked[0]) if asked else None)
        room = max(0, self._mix.references - len(places))
        read = [*places, *[*rivals, *generator.sample(others, len(others))][:room]]
        generator.shuffle(read)
        shown = draft.text(read)
        system = profile(generator.choice((*{each.domain: None for each in asked}, "general"))).system
        for each in asked:
            question = self._as_people_ask(each.question, generator)
            prompt = self._prompt(system, shown + _wording(question), longer=6)
            if prompt is not None:
                answer = self._answer(question)
                draft.samples.append(Sample(prompt, answer, None, profile=each.domain))

    def _as_people_ask(self, question: Question, generator: random.Random) -> Question:
        if generator.random() >= self._mix.templated:
            question = natural(question, generator)
        if self._mix.unnamed and generator.random() < self._mix.unnamed:  # an exam draws nothing for it
            question = unnamed(question) or question
        name = self._names.get(question.context_id)
        if name and generator.random() < self._mix.named:
            question = replace(question, text=f"In the {name}: {question.text}")
        return question

    def _sort(self, asked: Asked) -> str | None:
        """What is to be told from what other documents say to it."""
        return kind(asked.question) if self._mix.rivals else None

    def _continue(self, draft: Draft, generator: random.Random) -> None:
        """A document goes on, a chunk from each of the places where five references lie behind it."""
        context = generator.choice(self._texts)
        start = generator.randrange(max(1, len(context.text) - 2 * WINDOW))
        pieces = self._pieces(context, start, start + WINDOW * 3 // 2)[: MEMORIES_PER_CHUNK + 2]
        if len(pieces) <= 2:
            return
        draft.references += pieces[:-1]
        draft.owners += [-1] * (len(pieces) - 1)
        for i, piece in list(enumerate(pieces))[-2:]:
            before = range(max(0, i - MEMORIES_PER_CHUNK), i)
            opening, rest = piece.body[:12], piece.body[12 : 12 + CHUNK_TOKENS]
            if rest:
                draft.samples.append(Sample(opening, rest, tuple(before)))

    def _keep(self, draft: Draft, generator: random.Random) -> None:
        """Conversation or text without documents, as the frozen model would have it."""
        drawn = generator.random()
        if drawn < 0.6:
            prompt = tuple(self._prompt_ids([Message("user", request(generator))]))
            draft.samples.append(Sample(prompt, (), None, prompt, 1.0))
            return
        if drawn < 0.8:
            of = self._about[generator.choice(list(self._about))]
            question = generator.choice(of[generator.choice(list(of))]).question
            text = question.answers[0].text if question.answers else self._contexts[question.context_id].text
            prompt = tuple(self._prompt_ids([Message("user", _wording(question))]))
            answer = tuple(self._tokenize(" ".join(text[:400].split())).ids[:32])
        else:
            text = generator.choice(self._texts).text
            at = generator.randrange(max(1, len(text) - 400))
            ids = tuple(self._tokenize(text[at : at + 400]).ids)
            prompt, answer = ids[:16], ids[16:64]
        if answer and len(prompt) <= LONGEST_PROMPT:
            draft.samples.append(Sample(prompt, answer, None, prompt, 1.0))

    def _answer(self, question: Question) -> tuple[int, ...]:
        if not question.answers:
            text = _SHORT.get(question.gold.lower(), "") if not question.unanswerable else ABSTENTION
            return (*self._tokenize(text).ids, self._end)
        text = " ".join(question.answers[0].text.split())
        tokens = self._tokenize(text)
        if len(tokens.ids) < LONGEST_ANSWER:
            return (*tokens.ids, self._end)
        fits = text[: tokens.offsets[LONGEST_ANSWER - 1][0]]
        sentence = fits.rfind(". ") + 1
        if sentence > len(fits) // 3:
            return (*self._tokenize(fits[:sentence]).ids, self._end)
        return tuple(tokens.ids[:LONGEST_ANSWER])  # it goes on

    def _prompt(self, system: str, text: str, longer: int = 1) -> tuple[int, ...] | None:
        """None if it is too long to learn from."""
        ids = tuple(self._prompt_ids([Message("system", system), Message("user", text)]))
        return ids if len(ids) <= LONGEST_PROMPT * longer else None


def _data_set(question: Question) -> str:
    return question.dataset.split("/")[0]


def _right(question: Question, pieces: Sequence[Piece]) -> list[int]:
    """Which pieces the first answer lies in; for a long one, those where it begins."""
    if not question.answers:
        return []
    answer = question.answers[0]
    end = min(answer.end, answer.start + 300)
    return [i for i, piece in enumerate(pieces) if piece.start < end and answer.start < piece.end][:2]


def _wording(question: Question) -> str:
    """A question whose answer is yes or no says so."""
    if not question.answers and question.gold.lower() in _SHORT and not question.unanswerable:
        return f"{question.text}\nAnswer yes, no or maybe."
    return question.text
