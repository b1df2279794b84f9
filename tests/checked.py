"""The type checker that the import hook of `conftest.py` puts on every function of ntkit."""

import beartype

# An int is welcome where a float is asked for, as the annotations of Python say (PEP 484).
annotations = beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))
