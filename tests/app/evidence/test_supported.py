"""What an answer states, looked up in the passages that it cites: written cases of law and medicine, and
properties: what is copied is found, what is altered is not.
"""

import datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.evidence.dates import dates
from app.evidence.quantities import quantities
from app.evidence.supported import claims

LEASE = (
    "Harbour Row lease.pdf\nLEASE AGREEMENT > 4. Term\n"
    "This Agreement between Acme, Inc. and Dr. John Smith (the “Tenant”) ends on 3 March 2021 after thirty "
    "(30) days’ notice. The rent is EUR 1,000.00 a month, plus 5% from 04/25/2022, reviewed on 06/07/2023. "
    "The deposit is $2.5 million. Section 9.2(b) applies within ten business days of the Effective Date."
)
LABEL = (
    "Metformin label.xml\nDosage > Adults\n"
    "The starting dose of metformin hydrochloride is 500 mg twice daily, at most 2 g. Children: 10 mg/kg. In "
    "the GRADE trial (n = 1,247) HbA1c fell by 1.5 percentage points; 12.5 % had nausea. Storage at -20 °C. "
    "Creatinine clearance (mL) | 45. Then 5, 10 or 20 mg, for 4 to 6 weeks."
)
PASSAGES = {1: LEASE, 2: LABEL}

# (answer, what is claimed: text and where it is found)
CASES = [
    ("The lease ends on 2021-03-03.", [("2021-03-03", [1])]),
    ("It ends March 3rd, 2021.", [("March 3rd, 2021", [1])]),
    ("It ended in March 2021.", [("March 2021", [1])]),
    ("It ended in April 2021.", [("April 2021", [])]),
    ("It ends on 4 March 2021.", [("4 March 2021", [])]),
    ("The rent is reviewed on 6 July 2023.", [("6 July 2023", [])]),  # month first, as 04/25/2022 shows
    ("The rent is reviewed on June 7, 2023.", [("June 7, 2023", [1])]),
    ("It ends on 03/03/2021.", [("03/03/2021", [1])]),
    ("The rent is €1000.", [("€1000", [1])]),
    ("The rent is 1000 euros, not $1,000.", [("1000 euros", [1]), ("$1,000", [])]),
    ("The deposit is $2,500,000.", [("$2,500,000", [1])]),
    ("The deposit is 2.5 million US dollars.", [("2.5 million US dollars", [1])]),
    ("The deposit is 2.5 billion US dollars.", [("2.5 billion US dollars", [])]),
    ("It takes 30 days, or thirty days.", [("30 days", [1]), ("thirty days", [1])]),
    ("It takes 30 business days.", [("30 business days", [])]),
    ("It takes 10 business days.", [("10 business days", [1])]),
    ("It takes thirty (30) days.", [("thirty", [1]), ("30", [1])]),
    ("It takes forty (40) days.", [("forty", []), ("40", [])]),
    ("It takes 30 months.", [("30 months", [])]),
    ("It rises by five percent.", [("five percent", [1])]),
    ("It rises by 6 %.", [("6 %", [])]),
    ("Under Section 9.2(b) and 9.3(b).", [("Section", [1]), ("9.2(b)", [1]), ("9.3(b)", [])]),
    ("The tenant is Mr. John Smith.", [("John Smith", [1])]),
    ("The tenant is Jane Smith.", [("Jane Smith", [])]),
    ("Acme Inc and Beta LLC agreed.", [("Acme Inc", [1]), ("Beta LLC", [])]),
    ("He is the “Tenant”, not the “Landlord”.", [("Tenant", [1]), ("Landlord", [])]),
    ("It says “ends on … after thirty”.", [("ends on … after thirty", [1])]),
    ("Nevada", [("Nevada", [])]),
    ("Tenants pay one of the parties.", []),
    ("See the Harbour Row lease.", [("Harbour Row", [1])]),
    ("Take 0.5 g twice daily.", [("0.5 g", [2])]),
    ("At most 2000 mg, never 3 g.", [("2000 mg", [2]), ("3 g", [])]),
    ("Children get 11 mg/kg.", [("11 mg/kg", [])]),
    ("Children get 10 mg/kg.", [("10 mg/kg", [2])]),
    ("Children get 45 mg.", [("45 mg", [])]),
    ("It fell by 1.5 %.", [("1.5 %", [])]),
    ("Nausea was seen in 12.5% of 1247.", [("12.5%", [2]), ("1247", [2])]),
    ("Store at −20 °C, not at 20 °C.", [("−20 °C", [2]), ("20 °C", [])]),
    ("Clearance of 45 mL.", [("45 mL", [2])]),  # a table has the unit in its head
    ("Then 10 mg, then 15 mg.", [("10 mg", [2]), ("15 mg", [])]),
    ("For 4 weeks, not 5 weeks.", [("4 weeks", [2]), ("5 weeks", [])]),
    ("The GRADE trial measured HbA1c.", [("GRADE", [2]), ("HbA1c", [2])]),
    ("COVID-19 was not studied.", [("COVID-19", [])]),
    ("1. Rest\n2. Take 500 mg [2]", [("500 mg", [2])]),
]


@pytest.mark.parametrize(("answer", "expected"), CASES)
def test_claims_of_law_and_medicine(answer: str, expected: list[tuple[str, list[int]]]) -> None:
    found = claims(answer, PASSAGES)
    assert [(answer[each.start : each.end], each.citations) for each in found] == expected


def test_a_word_that_was_broken_off_states_nothing() -> None:
    answer = "It ends on 3 March 2021, says Jo"
    assert len(claims(answer, PASSAGES)) == 2
    assert [answer[c.start : c.end] for c in claims(answer, PASSAGES, broken_off=True)] == ["3 March 2021"]


def test_an_open_date_says_no_more_than_its_own_numbers() -> None:
    assert claims("On 03/04/2021.", {1: "Signed on 03.04.2021."})[0].citations == [1]
    assert claims("On 3 April 2021.", {1: "Signed on 03/04/2021."})[0].citations == []
    assert claims("On 03/04/2021.", {1: "Signed on 3 April 2021."})[0].citations == []
    settled = "Signed on 03/04/2021, valid to 31/12/2021."
    assert claims("On 3 April 2021.", {1: settled})[0].citations == [1]
    assert claims("On March 4, 2021.", {1: settled})[0].citations == []


def test_months_of_other_languages() -> None:
    assert claims("On 3 March 2021.", {1: "Vom 3. März 2021 an."})[0].citations == [1]
    assert claims("On 14 July 1999.", {1: "Fait le 14 juillet 1999."})[0].citations == [1]
    assert claims("Es sind 1.000,50 Euro.", {1: "EUR 1000.50"})[0].citations == [1]


def test_a_number_may_begin_with_its_point() -> None:
    assert [each.citations for each in claims("p = .42", {1: "P = 0.42"})] == [[1]]
    assert [each.citations for each in claims("p = 42", {1: "P = .42"})] == [[]]


def test_nothing_cited_nothing_found() -> None:
    assert [each.citations for each in claims("It is 5 mg.", {})] == [[]]


WRITTEN = (
    lambda day: f"{day.day} {day:%B} {day.year}",
    lambda day: f"{day:%B} {day.day}, {day.year}",
    lambda day: f"{day:%b} {day.day}, {day.year}",
    lambda day: day.isoformat(),
    lambda day: f"the {day.day}th day of {day:%B}, {day.year}",
)
DAYS = st.dates(datetime.date(1900, 1, 1), datetime.date(2099, 12, 31))


@given(DAYS, st.sampled_from(WRITTEN), st.sampled_from(WRITTEN), st.integers(1, 400))
def test_a_day_is_found_in_any_writing_and_no_other_day_is(day, one, other, later) -> None:
    passage = {1: f"It was signed on {one(day)} by both."}
    assert [each.citations for each in claims(f"On {other(day)}.", passage) if each.kind == "date"] == [[1]]
    changed = day + datetime.timedelta(later)
    assert [each.citations for each in claims(f"On {other(changed)}.", passage) if each.kind == "date"] == [
        []
    ]


UNITS = ("mg", "g", "mL", "days", "months", "years", "%", "")


@given(st.integers(0, 10**7), st.integers(0, 2), st.sampled_from(UNITS), st.integers(1, 50), st.booleans())
def test_a_quantity_is_found_and_an_altered_one_is_not(number, digits, unit, more, grouped) -> None:
    value = Decimal(number) / 10**digits
    written = f"{value:,f}" if grouped else f"{value:f}"
    passage = {1: f"The figure is {written} {unit} here."}
    assert [each.citations for each in claims(f"It is {value:f} {unit} then.", passage)] == [[1]]
    altered = claims(f"It is {value + more:f} {unit} then.", passage)
    assert [each.citations for each in altered] == [[]]


@given(
    st.integers(1, 10**6), st.sampled_from([("€{}", "{} euros"), ("USD {}", "US${}"), ("{} CHF", "CHF {}")])
)
def test_an_amount_is_found_in_any_writing_but_not_in_another_currency(value, forms) -> None:
    passage = {1: f"They owe {forms[0].format(f'{value:,}')} in all."}
    assert [each.citations for each in claims(f"It is {forms[1].format(value)} then.", passage)] == [[1]]
    assert [each.citations for each in claims(f"It is GBP {value} then.", passage)] == [[]]


def test_symbols_that_are_spelt_in_letters_join_no_word() -> None:
    passage = {1: "See order №A0, kept below 8℃B7."}
    assert [each.citations for each in claims("It is A0.", passage)] == [[1]]
    assert [each.citations for each in claims("It is B7.", passage)] == [[1]]


def test_soft_hyphens_are_no_part_of_what_is_looked_up() -> None:
    passage = {1: "The amount is 12\u00ad000 dollars under form A0\u00ad0."}
    stated = "It is 12000 dollars, form A\u00ad00."
    found = claims(stated, passage)
    assert [each.citations for each in found] == [[1], [1]]
    assert stated[found[1].start : found[1].end] == "A\u00ad00"


@given(st.text(max_size=300))
def test_any_text_is_looked_up_in_itself_and_found(text: str) -> None:
    for each in claims(text, {1: text}):
        assert 0 <= each.start < each.end <= len(text)
        assert each.citations == [1], (each.kind, text[each.start : each.end])


ALPHABET = st.sampled_from(
    [*"0123456789,.-/()$€% \n", "March ", "May ", "mg ", "EUR ", "Acme ", "million ", "ten ", "“", "”"]
)


@given(st.lists(ALPHABET, max_size=25).map("".join))
def test_any_figures_are_looked_up_in_themselves_and_found(text: str) -> None:
    found = claims(text, {1: text})
    assert all(each.citations == [1] for each in found), [(c.kind, text[c.start : c.end]) for c in found]
    spans = [(each.start, each.end) for each in (*dates(text), *quantities(text))]
    assert all(0 <= start < end <= len(text) for start, end in spans)
