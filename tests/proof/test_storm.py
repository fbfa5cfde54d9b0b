"""The storm: whatever is killed, frozen, cut or slowed, every key has one truth, and all books agree about it."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import psycopg
import pytest
import urllib3

from tests.proof.checker import Broken, Outcome, Truth, check, sandbox_truths
from tests.proof.clients import SANDBOX, STRIPE, Crowd, Shop
from tests.proof.faults import Fault, Storm, plan
from tests.proof.profile import PROFILE
from tests.proof.world import World, world
from tests.service.conftest import make_key
from tests.service.processors.stripe_standin import API_KEY, WEBHOOK_SECRET, StripeStandin, stripe_standin
from tests.service.receivers import Receiver, receiver
from tests.waiting import wait_until
