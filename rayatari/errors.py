"""The one error that a user is meant to read."""

import errno

_REMEDIES = {
    errno.ENOSPC: "the disk is full: free some space, then run the same command again to go on",
    errno.EFBIG: "the file would be larger than this system allows: raise the limit, then run again",
    errno.ENOENT: "no such place, and none can be made there: choose another with runs=DIR",
    errno.EDQUOT: "the disk quota is used up: free some space, then run the same command again",
    errno.EROFS: "the file system is read-only: choose another place with runs=DIR",
    errno.EACCES: "permission denied: choose another place with runs=DIR, or mend the permissions",
    errno.EPERM: "not permitted: choose another place with runs=DIR, or mend the permissions",
    errno.ENOTDIR: "a file stands where a folder is needed: remove it or choose another runs=DIR",
    errno.EEXIST: "a file stands where a folder is needed: remove it or choose another runs=DIR",
}


class UserError(ValueError):
    """A mistake that the user can mend: one line that says what is wrong and what to do.

    The command line prints it without a traceback and exits with code 2.
    """


def remedy_for(error: OSError) -> str | None:
    """One line for an operating-system error that the user can mend, or None for any other."""
    remedy = _REMEDIES.get(error.errno or 0)
    if remedy is None:
        return None
    return f"{error.filename or 'write'}: {remedy}"
