"""What lessons are made of, and how often: to learn from, to be examined by, and to read as text."""

from dataclasses import dataclass, replace

from engine.format import MEMORIES_PER_CHUNK

QUESTIONS = 5  # about a document in one step, at most


@dataclass(frozen=True)
class Mix:
    """How often something happens, of all the questions, steps or documents that it can happen to.

    unanswerable: documents that have such a question asked. wrong_only: questions that read other documents
    only. fewer: questions that read fewer than five memories. references: memories that the others read, if
    there are so many, the right ones always among them. continued: steps in which a document goes on. reread:
    documents that are also read as text. distilled: documents of which a question is also learnt
    from the frozen model reading the right references as text, or all (`taught_all`), with weight
    `distillation` beside the gold answer. as_text: the prompt of every question about a document has the
    same `references` as text, its own among them, and no memory is read. templated: contract questions that
    stay as the data words them. unnamed: questions about a disease that do not name it. named: those about a
    contract that do, by what people call it, as do its references then. rivals: steps in which two documents
    answer the same question, and each reads what the other says. plain: steps with conversations or texts
    without documents.
    """

    unanswerable: float = 0.2
    wrong_only: float = 0.05
    fewer: float = 0.15
    references: int = MEMORIES_PER_CHUNK
    continued: float = 0.3
    reread: float = 0.15
    distilled: float = 0.1
    distillation: float = 0.25
    taught_all: bool = False
    as_text: bool = False
    templated: float = 0.2
    unnamed: float = 0.25
    named: float = 0.4
    rivals: float = 0.4
    plain: float = 0.4


# To read memories.
LEARNING = Mix()
# Answerable questions only, each with a prompt that has the same references as text beside it.
EXAM = Mix(
    unanswerable=0,
    wrong_only=0,
    fewer=0,
    continued=0,
    reread=0,
    distilled=QUESTIONS,
    distillation=0,
    taught_all=True,
    unnamed=0,
    named=0,
    rivals=0,
    plain=0,
)
# Reading the same references as text: the ceiling that memories are compared with.
AS_TEXT = replace(
    EXAM,
    unanswerable=Mix.unanswerable,
    unnamed=Mix.unnamed,
    named=Mix.named,
    rivals=Mix.rivals,
    plain=Mix.plain,
    as_text=True,
)
TEXT_EXAM = replace(EXAM, as_text=True)
