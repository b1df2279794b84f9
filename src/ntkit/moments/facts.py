"""What is known of the distribution of a layer's channels, beside its second moments."""

import dataclasses

from ntkit.errors import InputError, NoClosedFormError


@dataclasses.dataclass(frozen=True)
class Facts:
    """Static facts that decide whether second moments determine those of the next layer.

    Attributes:
        gaussian: Every channel is a centred Gaussian process over examples and positions, of covariance `nngp`.
        centred: Every channel has mean zero over the random weights.
        identical: All channels have one distribution, so that the mean over channels is the law of each.
        concentrated: Means over channels equal their expectations (false where a finite number of channels is random).
        sources: Tokens of the random weights that the channels depend on; empty for the data themselves.
        channels: How many channels the finite network has here.
    """

    gaussian: bool
    centred: bool
    identical: bool
    concentrated: bool
    sources: frozenset
    channels: int

    @classmethod
    def of_data(cls, channels: int) -> "Facts":
        """The facts of the inputs: fixed numbers, of any distribution."""
        return cls(
            gaussian=False,
            centred=False,
            identical=False,
            concentrated=True,
            sources=frozenset(),
            channels=channels,
        )

    @property
    def random(self) -> bool:
        """Whether the channels depend on random weights at all."""
        return bool(self.sources)

    def after_weights(self, channels: int) -> "Facts":
        """A linear map with fresh Gaussian weights restores everything that concentration allows."""
        return Facts(
            gaussian=self.concentrated,
            centred=True,
            identical=True,
            concentrated=self.concentrated,
            sources=frozenset({object()}),
            channels=channels,
        )

    def after_activation(self, odd: bool) -> "Facts":
        """An elementwise function ends Gaussianity, and centredness unless it is odd."""
        return dataclasses.replace(self, gaussian=False, centred=odd and self.centred)

    def after_mask(self) -> "Facts":
        """Random masks (dropout): on the data, whose channels are few, the kernel of one draw is no longer its mean."""
        return dataclasses.replace(
            self,
            gaussian=False,
            concentrated=self.concentrated and self.random,
            sources=self.sources | {object()},
        )

    def after_flatten(self, positions: int) -> "Facts":
        """Positions become channels, each position with a law of its own."""
        return dataclasses.replace(
            self, identical=self.identical and positions == 1, channels=self.channels * positions
        )

    def require_gaussian(self, who: str) -> None:
        """Refuse a nonlinearity whose dual would be taken over variables that are not Gaussian or not alike."""
        if self.gaussian and self.identical:
            return
        if not self.random:
            why = "its input is the data, not a Gaussian variable"
            remedy = f"put a Dense or Conv before it, or apply {who} to the data yourself"
        elif not self.concentrated:
            why = "a finite number of random channels lies below (random masks on the data, or the data added to weights)"
            remedy = "put a Dense or Conv between the data and that layer"
        elif not self.gaussian:
            why = "its input is not Gaussian (an activation, Dropout, Product or Concat lies between it and the last weights)"
            remedy = "put a Dense or Conv before it, or the activation inside each branch"
        else:
            why = "its input channels are not identically distributed (they come from different positions or branches)"
            remedy = "put a Dense or Conv before it"
        raise NoClosedFormError(
            f"{who}: {why}, so second moments do not determine the kernel. Remedy: {remedy}"
        )

    def require_concentrated(self, who: str) -> None:
        """Refuse a layer that is not linear in the covariance where the covariance is random itself."""
        if not self.concentrated:
            raise NoClosedFormError(
                f"{who}: a finite number of random channels lies below (random masks on the data, or the data added to "
                "weights), so that its kernel is not determined by their mean. Remedy: put a Dense or Conv between the data "
                "and that layer"
            )

    def require_centred(self, who: str) -> None:
        """Refuse a normalisation that subtracts a mean of which second moments know nothing."""
        if not (self.centred and self.concentrated):
            where = (
                "the data"
                if not self.random
                else "an activation that is not odd, or other uncentred channels,"
            )
            raise NoClosedFormError(
                f"{who}: it follows {where} whose mean over channels is not zero, so second moments do not determine the "
                "kernel. Remedy: put a Dense or Conv before it, or normalise the data yourself"
            )


def sum_of(branches: list[Facts], who: str) -> Facts:
    """Facts of a sum of branches, or a refusal where covariances between branches would be needed."""
    same_channels(branches, who)
    _require_independent(branches, who)
    if sum(not f.centred for f in branches) > 1:
        raise NoClosedFormError(
            f"{who}: more than one branch has a nonzero mean, and the product of the means adds to the covariance. "
            "Remedy: end all branches but one with a Dense or Conv"
        )
    return Facts(
        gaussian=all(f.gaussian for f in branches),
        centred=all(f.centred for f in branches),
        identical=all(f.identical for f in branches),
        concentrated=_concentrated(branches),
        sources=frozenset().union(*(f.sources for f in branches)),
        channels=branches[0].channels,
    )


def product_of(branches: list[Facts], who: str) -> Facts:
    """Facts of an elementwise product of branches, or a refusal where moments of the product do not factorise."""
    same_channels(branches, who)
    _require_independent(branches, who)
    if sum(not f.identical for f in branches) > 1:
        raise NoClosedFormError(
            f"{who}: more than one branch has channels that are not identically distributed, so the mean of the product "
            "is not the product of the means. Remedy: end all branches but one with a Dense or Conv"
        )
    if sum(not f.concentrated for f in branches) > 1:
        raise NoClosedFormError(
            f"{who}: a finite number of random channels lies below more than one branch (random masks on the data, or the "
            "data added to weights), so that their kernels fluctuate together. Remedy: put a Dense or Conv between the "
            "data and that layer"
        )
    return Facts(
        gaussian=False if len(branches) > 1 else branches[0].gaussian,
        centred=any(f.centred for f in branches),
        identical=all(f.identical for f in branches),
        concentrated=_concentrated(branches),
        sources=frozenset().union(*(f.sources for f in branches)),
        channels=branches[0].channels,
    )


def concat_of(branches: list[Facts]) -> Facts:
    """Facts of a concatenation of channels: every branch keeps its own law."""
    return Facts(
        gaussian=False if len(branches) > 1 else branches[0].gaussian,
        centred=all(f.centred for f in branches),
        identical=len(branches) == 1 and branches[0].identical,
        concentrated=all(f.concentrated for f in branches),
        sources=frozenset().union(*(f.sources for f in branches)),
        channels=sum(f.channels for f in branches),
    )


def same_channels(branches: list[Facts], who: str) -> None:
    """Raise `InputError` unless all branches have one number of channels."""
    counts = [f.channels for f in branches]
    if len(set(counts)) > 1:
        raise InputError(f"{who}: the branches have {counts} channels; give them the same width")


def _require_independent(branches: list[Facts], who: str) -> None:
    for i, f in enumerate(branches):
        for g in branches[:i]:
            if f.sources & g.sources:
                raise NoClosedFormError(
                    f"{who}: two branches depend on the same random weights (Identity + Identity has 4 times the kernel, "
                    "not 2), so their covariance is missing. Remedy: end all branches but one with a Dense or Conv"
                )


def _concentrated(branches: list[Facts]) -> bool:
    """Data beside random weights of the same, finite number of channels do not concentrate."""
    mixed = len({f.random for f in branches}) > 1
    return all(f.concentrated for f in branches) and not mixed
