"""The ports of load balancers."""

from rehearsal.runner.ports import Ports


def test_a_load_balancer_keeps_its_port() -> None:
    ports = Ports(9443)
    assert [ports.port_for(name, 443) for name in ("alb-dev", "alb-prod", "alb-dev")] == [9443, 9444, 9443]


def test_other_listeners_get_any_free_port() -> None:
    assert Ports(9443).port_for("alb-dev", 80) == 0
    assert Ports(0).port_for("alb-dev", 443) == 0
