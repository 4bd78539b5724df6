"""Runs we stand behind, one module a size; `register` names them all."""
