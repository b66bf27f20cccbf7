"""Which items ask which questions."""

from whyguard.annotation.audit.questions import AuditQuestion, asked_by


def test_a_blind_item_asks_one_question_and_a_rationale_item_two() -> None:
    assert asked_by({"blind"}) == (AuditQuestion.VERDICT,)
    assert asked_by({"rationale"}) == (AuditQuestion.TRANSLATION, AuditQuestion.RATIONALE)
    assert asked_by({"rationale", "blind"}) == tuple(AuditQuestion) and asked_by(()) == ()
