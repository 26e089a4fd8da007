"""Ask W&B whether the login holds, in a process: `python -m odyssey.training.wandb_login`.

W&B's service, which the question starts, sometimes does not end after a server did not answer, and
whatever process started it then waits for it. Exit status 0: it holds, or a later W&B has no such
question; 1: there is none; 2: not accepted, for the reason printed.
"""

from __future__ import annotations

import os


def ask() -> int:
    """The exit status."""
    import wandb

    try:
        from wandb.sdk import wandb_setup
        from wandb.sdk.lib import wbauth

        host = wandb_setup.singleton().settings.base_url
        login = wbauth.authenticate_session(
            host=host, source="odyssey", prompt=False, verify=True, update_session=False
        )
    except wandb.errors.Error as error:
        print(" ".join(str(error).split()).rstrip("."), flush=True)
        return 2
    except (ImportError, AttributeError, TypeError):
        return (
            0  # no public function asks without side effects; a later W&B may have moved this one
        )
    return 0 if login is not None else 1


if __name__ == "__main__":
    os._exit(ask())  # without waiting for the service
