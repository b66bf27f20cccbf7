from hypothesis import given
from hypothesis import strategies as st

from whyguard.curation.unionfind import UnionFind

_PAIRS = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("abcdefgh")))


@given(_PAIRS)
def test_clusters_do_not_depend_on_order(pairs: list[tuple[str, str]]) -> None:
    shuffled = sorted(pairs, key=lambda pair: (pair[1], pair[0]), reverse=True)
    one, other = UnionFind(), UnionFind()
    for left, right in pairs:
        one.union(left, right)
    for left, right in shuffled:
        other.union(right, left)
    for name in "abcdefgh":
        assert one.find(name) == other.find(name)
        assert one.find(name) <= name


def test_chain_takes_the_smallest_name() -> None:
    clusters = UnionFind()
    clusters.union("c", "d")
    clusters.union("b", "c")
    clusters.union("x", "y")
    assert [clusters.find(name) for name in "bcdxyz"] == ["b", "b", "b", "x", "x", "z"]
