"""Every error that burnish raises, as one tree.

Knows: what can go wrong, by area. Does not know: when; each area raises its own.

    BurnishError
    ├── SettingsError (ValueError)           a setting, burnish.toml or a command's argument
    │   ├── UnknownAgent (LookupError)       an agent that burnish.toml does not declare
    │   ├── MissingExtra (ImportError)       a package that an extra of burnish brings
    │   └── ImportPathError (ImportError)    "module:function" that does not import
    ├── WorkspaceError (RuntimeError)        the folder of a deployment
    │   └── WorkspaceTooNew                  written by a newer burnish
    ├── CaptureError (RuntimeError)          wrap, trace, task, route
    ├── JournalError (RuntimeError)          frames, segments, index
    │   ├── JournalCorrupt (ValueError)      bytes that are no frame
    │   ├── UnreadableEvent (TypeError)      an event that could not be read back
    │   ├── JournalFull (OSError)            no space, or over the quota
    │   └── JournalUnwritable (OSError)      rights, a read-only disk
    ├── ExportError (ValueError)             sources, curation, dataset versions, formats
    │   ├── EmptyDataset                     nothing was left to learn from
    │   └── VersionConflict                  a version that would be overwritten or was altered
    ├── VerificationError (ValueError)       verifiers
    │   └── NoVerifier                       nothing can say what a success is
    ├── TrainingError (RuntimeError)         plans, runs, adapters' making
    │   ├── BaseModelMismatch (ValueError)   an adapter or rows of another base model
    │   └── TrainingDiverged (ArithmeticError)  a loss, gradient or weight that is not finite
    ├── EvaluationError (RuntimeError)       rollouts, comparison, gate
    ├── RegistryError (RuntimeError)         adapter versions and pointers
    │   ├── UnknownAdapter (LookupError)     a version that the registry does not hold
    │   └── ControlConflict                  the control document was changed by someone else
    ├── ServingError (RuntimeError)          engines and backends
    │   └── BackendUnavailable (ConnectionError)
    └── CanaryError (RuntimeError)           split, watch, decide

A message says what was found, what was expected, and the next command to type.
Each class is also a built-in, survives pickling, and is raised with the same three arguments.
"""

from __future__ import annotations


class BurnishError(Exception):
    """Root of the tree; catch it to catch everything that burnish raises on purpose.

    Args:
        found: What was found, with names and numbers.
        expected: What would have been right.
        fix: The next command to type, or the line to write.
    """

    def __init__(self, found: str, expected: str = "", fix: str = "") -> None:
        self.found, self.expected, self.fix = found, expected, fix
        parts = [found]
        if expected:
            parts.append(f"expected {expected}")
        if fix:
            parts.append(f"try: {fix}")
        super().__init__("; ".join(parts))

    def __reduce__(self) -> tuple[type[BurnishError], tuple[str, str, str]]:
        return type(self), (self.found, self.expected, self.fix)


class SettingsError(BurnishError, ValueError):
    """A setting, a key of burnish.toml or an argument is wrong."""


class UnknownAgent(SettingsError, LookupError):
    """burnish.toml declares no agent of that name."""


class MissingExtra(SettingsError, ImportError):
    """An optional package is not installed; the fix names the extra that brings it."""


class ImportPathError(SettingsError, ImportError):
    """An import path "module:function" could not be followed."""


class WorkspaceError(BurnishError, RuntimeError):
    """The workspace folder cannot be used as it is."""


class WorkspaceTooNew(WorkspaceError):
    """The workspace was written by a newer burnish."""


class CaptureError(BurnishError, RuntimeError):
    """wrap, trace, task, outcome or route was used in a way that cannot work."""


class JournalError(BurnishError, RuntimeError):
    """Frames, segments or the index."""


class JournalCorrupt(JournalError, ValueError):
    """Bytes that are no whole frame where one must be."""


class UnreadableEvent(JournalError, TypeError):
    """An event with a value of a wrong type: written, no reader could take it back."""


class JournalFull(JournalError, OSError):
    """No space is left for frames, on the disk or within the quota."""

    __str__ = Exception.__str__  # OSError would print its arguments as errno and strerror


class JournalUnwritable(JournalError, OSError):
    """A file of the journal cannot be written: rights, a read-only disk."""

    __str__ = Exception.__str__


class ExportError(BurnishError, ValueError):
    """Sources, curation, dataset versions and formats."""


class EmptyDataset(ExportError):
    """No row was left to learn from."""


class VersionConflict(ExportError):
    """An immutable version would be overwritten, or its bytes were altered."""


class VerificationError(BurnishError, ValueError):
    """A verifier is missing, wrongly set up or not trusted."""


class NoVerifier(VerificationError):
    """Nothing is declared that could say what a success is."""


class TrainingError(BurnishError, RuntimeError):
    """A training plan or run."""


class BaseModelMismatch(TrainingError, ValueError):
    """An adapter or rows that belong to another base model."""


class TrainingDiverged(TrainingError, ArithmeticError):
    """A loss, a gradient or a weight became NaN or infinite."""


class EvaluationError(BurnishError, RuntimeError):
    """Rollouts, comparison and gate."""


class RegistryError(BurnishError, RuntimeError):
    """Adapter versions and the pointers to them."""


class UnknownAdapter(RegistryError, LookupError):
    """The registry holds no such adapter version."""


class ControlConflict(RegistryError):
    """The control document was changed by another writer in between."""


class ServingError(BurnishError, RuntimeError):
    """Engines and backends."""


class BackendUnavailable(ServingError, ConnectionError):
    """The backend does not answer."""

    __str__ = Exception.__str__


class CanaryError(BurnishError, RuntimeError):
    """Split, watch and decide."""
