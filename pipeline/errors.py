"""The kinds of error that a user can cause and fix. A command prints one as a message, without a traceback."""


class SegdistillError(Exception):
    """Base of all kinds. The message says what is wrong, where, and what to do."""


class ParamsError(SegdistillError):
    """A value in params.yaml is wrong, missing or unknown."""


class DatasetError(SegdistillError):
    """The dataset, its class table, its sample list or one of its files cannot be used."""


class ArtifactError(SegdistillError):
    """A file that another stage wrote is missing, damaged, of another run, or over its parity budget."""


class TrainingError(SegdistillError):
    """A training cannot start or continue: the loss diverged, a loader process died, or another process trains it."""


class Diverged(TrainingError):
    """A loss became NaN, infinite or a spike: with this recipe the network cannot be trained."""


class MachineError(SegdistillError):
    """The machine lacks something: a device, memory, a driver, a program or a package."""
