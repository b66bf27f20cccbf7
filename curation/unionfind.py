"""Union-find over names: which ids belong to one cluster."""


class UnionFind:
    """Clusters of names; a cluster is called by its smallest name, whatever the order of unions."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def find(self, name: str) -> str:
        """The smallest name of the cluster that `name` belongs to."""
        path = []
        while (parent := self._parent.get(name, name)) != name:
            path.append(name)
            name = parent
        for passed in path:
            self._parent[passed] = name
        return name

    def union(self, left: str, right: str) -> None:
        """Put two names into one cluster."""
        low, high = sorted((self.find(left), self.find(right)))
        if low != high:
            self._parent[high] = low
