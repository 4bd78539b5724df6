"""Error that a user sees as a plain sentence."""


class UserError(ValueError):
    """Something the user can put right. Its text is one sentence that names the field, the value and the remedy;
    the command line shows it as it is and ends with exit code 2."""
