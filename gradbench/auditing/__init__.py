"""A user's own model and method: the same measurement as a case's, on any module that trains."""

from gradbench.auditing.audit import audit
from gradbench.auditing.result import Audit

__all__ = ["Audit", "audit"]
