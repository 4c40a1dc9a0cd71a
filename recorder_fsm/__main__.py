"""`python -m recorder_fsm`: the same as the command `recorder-fsm`."""

from recorder_fsm.cli import main

if __name__ == "__main__":
    main()
