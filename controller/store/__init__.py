"""What the controller keeps: one database, written by the deciding thread alone."""

from controller.store.errors import Fenced, StoreError
from controller.store.records import Loaded, Revision
from controller.store.store import Store
from controller.store.transaction import Transaction

__all__ = ["Fenced", "Loaded", "Revision", "Store", "StoreError", "Transaction"]
