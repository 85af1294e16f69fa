"""Define every error that burnish raises, as one tree.

    BurnishError
    ├── SettingsError (ValueError)           a setting, burnish.toml or a command's argument
    │   ├── UnknownAgent (LookupError)       an agent that burnish.toml does not declare
    │   ├── MissingExtra (ImportError)       a package of an extra that is not installed
    │   └── ImportPathError (ImportError)    "module:function" that does not import
    ├── WorkspaceError (RuntimeError)        the folder of a deployment
    │   └── WorkspaceTooNew                  written by a newer burnish
    ├── CaptureError (RuntimeError)          wrap, trace, task, route
    ├── JournalError (RuntimeError)          frames, segments, index
    │   ├── JournalCorrupt (ValueError)      bytes that are not a valid frame
    │   ├── UnreadableEvent (TypeError)      an event that a reader would refuse
    │   ├── JournalFull (OSError)            no space, or over the quota
    │   └── JournalUnwritable (OSError)      permissions, a read-only disk
    ├── ExportError (ValueError)             sources, curation, dataset versions, formats
    │   ├── EmptyDataset                     no row is left to train on
    │   └── VersionConflict                  a version that would be overwritten or was altered
    ├── VerificationError (ValueError)       verifiers
    │   └── NoVerifier                       no verifier is configured
    ├── TrainingError (RuntimeError)         plans and training runs
    │   ├── NotReady                         readiness found what blocks a retrain
    │   ├── BaseModelMismatch (ValueError)   an adapter or rows of another base model
    │   └── TrainingDiverged (ArithmeticError)  a loss, gradient or weight that is not finite
    ├── EvaluationError (RuntimeError)       rollouts, comparison, gate
    ├── RegistryError (RuntimeError)         adapter versions and pointers
    │   ├── UnknownAdapter (LookupError)     a version that the registry does not hold
    │   └── ControlConflict                  another writer changed the control document
    ├── ServingError (RuntimeError)          engines and backends
    │   └── BackendUnavailable (ConnectionError)
    │       └── UnreadableReply              an answer of the backend that is not a completion
    └── CanaryError (RuntimeError)           assignment, evidence, rollout

A message states what was found, what was expected, and the next command to type.
Each class also derives from a built-in error, can be pickled, and takes the same three arguments.
"""

from __future__ import annotations


class BurnishError(Exception):
    """Root of the tree; catch it to catch all errors that burnish raises on purpose.

    Args:
        found: What was found, with names and numbers.
        expected: What was expected.
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
    """The workspace folder cannot be used."""


class WorkspaceTooNew(WorkspaceError):
    """The workspace was written by a newer burnish."""


class CaptureError(BurnishError, RuntimeError):
    """wrap, trace, task, outcome or route was called with unusable arguments."""


class JournalError(BurnishError, RuntimeError):
    """Frames, segments or the index cannot be used."""


class JournalCorrupt(JournalError, ValueError):
    """Bytes are not a valid frame."""


class UnreadableEvent(JournalError, TypeError):
    """An event has a value of a wrong type, which readers would refuse."""


class JournalFull(JournalError, OSError):
    """No space is left for frames, on the disk or within the quota."""

    __str__ = Exception.__str__  # OSError would print its arguments as errno and strerror


class JournalUnwritable(JournalError, OSError):
    """A file of the journal cannot be written: permissions, a read-only disk."""

    __str__ = Exception.__str__


class ExportError(BurnishError, ValueError):
    """A source, curation step, dataset version or format failed."""


class EmptyDataset(ExportError):
    """No row is left to train on."""


class VersionConflict(ExportError):
    """An immutable version would be overwritten, or its bytes were altered."""


class VerificationError(BurnishError, ValueError):
    """A verifier is missing, misconfigured or not trusted."""


class NoVerifier(VerificationError):
    """No verifier is configured."""


class TrainingError(BurnishError, RuntimeError):
    """A training plan or run failed."""


class NotReady(TrainingError):
    """The readiness report holds what blocks a retrain."""


class BaseModelMismatch(TrainingError, ValueError):
    """An adapter or rows belong to another base model."""


class TrainingDiverged(TrainingError, ArithmeticError):
    """A loss, a gradient or a weight became NaN or infinite."""


class EvaluationError(BurnishError, RuntimeError):
    """A rollout, comparison or gate failed."""


class RegistryError(BurnishError, RuntimeError):
    """An adapter version or pointer cannot be used."""


class UnknownAdapter(RegistryError, LookupError):
    """The registry holds no such adapter version."""


class ControlConflict(RegistryError):
    """Another writer changed the control document meanwhile."""


class ServingError(BurnishError, RuntimeError):
    """An engine or backend failed."""


class BackendUnavailable(ServingError, ConnectionError):
    """The backend does not answer."""

    __str__ = Exception.__str__


class UnreadableReply(BackendUnavailable):
    """The backend answers with something else than a completion."""


class CanaryError(BurnishError, RuntimeError):
    """A canary cannot make the requested move."""
