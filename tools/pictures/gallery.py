"""Every picture by its name."""

from collections.abc import Callable, Mapping
from pathlib import Path

from tools.pictures.disputes import dispute_states
from tools.pictures.ledger import ledger
from tools.pictures.network import network
from tools.pictures.pipeline import pipeline
from tools.pictures.states import payment_states
from tools.pictures.transactions import two_transactions

PROJECT = Path(__file__).parents[2]
FOLDER = PROJECT / "docs" / "pictures"
#: Drawn from the service's code alone.
OF_THE_SERVICE: Mapping[str, Callable[[], str]] = {
    "payment-states": payment_states,
    "dispute-states": dispute_states,
    "two-transactions": two_transactions,
    "ledger": ledger,
}


def of_the_templates(assembly: Path) -> dict[str, str]:
    """Return what is drawn from the whole app's cloud assembly: the pipeline, and the network of its dev."""
    return {
        "pipeline": pipeline(assembly),
        "network": network(assembly / "assembly-PipelineStack-Dev"),
    }


def draw_all(assembly: Path) -> dict[str, str]:
    """Return all pictures."""
    return {name: draw() for name, draw in OF_THE_SERVICE.items()} | of_the_templates(assembly)
