"""Passages of the real documents and the headings that a reader would put above them, chosen by hand."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """document: how its file's name begins. passage: words of one page. wanted: outermost first."""

    document: str
    passage: str
    wanted: tuple[str, ...]


PLACES: tuple[Place, ...] = (
    Place(
        "contract_TUNIUCORP_03_06_2014-EX-10-COOPERATION_AGREEMENT.pdf",
        "The Service Fee of the last quarter",
        ("4. Cooperation Remuneration", "4.2"),
    ),
    Place(
        "contract_GULFSOUTHMEDICALSUPPLYINC_12_24_1997-EX-4-AFFILIATE_AGREEMENT.pdf",
        "PSS agrees, for a period of three years",
        ("6. Filing of Reports by PSS",),
    ),
    Place(
        "contract_AMERICANPHYSICIANSCAPITALINC_03_31_2003-EX-10.26-AGENCY_AGREEMENT.pdf",
        "Agency and MICOA further agree to consider",
        ("H. POTENTIAL OPPORTUNITIES", "2. Territory"),
    ),
    Place(
        "contract_AMERICANPHYSICIANSCAPITALINC_03_31_2003-EX-10.26-AGENCY_AGREEMENT.pdf",
        "This Agreement shall be interpreted under the",
        ("I. MISCELLANEOUS", "5. Applicable Law"),
    ),
    Place(
        "contract_BLUEHILLSBANCORP_INC_05_20_2014-EX-1.1-AGENCY_AGREEMENT.pdf",
        "The Agent represents and warrants to the Blue Hills Parties as follows",
        ("Section 5. Representations and Warranties of the Agent",),
    ),
    Place(
        "contract_NEONSYSTEMSINC_03_01_1999-EX-10.5-DISTRIBUTOR_AGREEMENT_New.pdf",
        "Pursuant to a Sublicense signed by the Customer",
        ("ARTICLE 2 LICENSE GRANT", "Section 2.2 SUBLICENSING", "(b) TO CUSTOMERS"),
    ),
    Place(
        "contract_Microgenics_Corporation_-_Collaborative_Development_and_Commercialization_Agreement.pdf",
        "the Research Program shall be managed by a Joint Steering Committee",
        ("5 Governance", "5.2 Joint Steering Committee"),
    ),
    Place(
        "contract_TomOnlineInc_20060501_20-F_EX-4.46_749700_EX-4.46_Co-Branding_Agreement.pdf",
        "means Gross Revenue less Direct Expenses",
        ("1. DEFINITIONS", "1.1"),
    ),
    Place("court_ca5_00516242060.pdf", "We review a district court", ("II. Standard of Review",)),
    Place(
        "court_ca5_00516242060.pdf",
        "St. Pierre contends that Dearborn breached its contract",
        ("III. Discussion", "C. Breach of Contract"),
    ),
    Place(
        "protocol_sglt2i_dka.pdf",
        "The inclusion/exclusion process is illustrated in the flowchart",
        ("6. RESEARCH METHODS", "6.2. Setting", "6.2.3. Subject Selection: Inclusion Criteria"),
    ),
    Place(
        "protocol_sglt2i_dka.pdf",
        "Misclassification among different types of diabetes is possible",
        ("6. RESEARCH METHODS", "6.9. Strengths", "6.9.2. Limitations"),
    ),
    Place(
        "fda_IND_Phase1_Content_Format.pdf",
        "Present regulations require an integrated summary of the toxicologic effects",
        ("III. CLARIFICATIONS OF PRESENT IND REGULATIONS", "G. Pharmacology and Toxicology", "2. Toxicology"),
    ),
    Place(
        "spl_label_lipitor-orig.xml",
        "The absolute bioavailability of atorvastatin",
        ("12 CLINICAL PHARMACOLOGY", "12.3 Pharmacokinetics", "Absorption"),
    ),
    Place("spl_label_cough.xml", "do not exceed recommended dosage", ("Warnings", "When using this product")),
    Place(
        "cfr12_part1006.xml",
        "This part, known as Regulation F",
        ("Subpart A", "§ 1006.1 Purpose and definitions", "§ 1006.1(a) Purpose"),
    ),
    Place(
        "plos_journal.pmed.1000097.xml",
        "The conduct of a systematic review depends heavily",
        ("Introduction", "Box 1", "Completing a Systematic Review"),
    ),
)
