"""The root of every error that Monopod raises on purpose."""


class MonopodError(Exception):
    """Something failed for a reason that the message explains: what, on which object, what to do.

    The command line prints the message alone. Any other exception is a defect of Monopod's, and
    its traceback is kept for the report.
    """
