"""
The soak test of a highly available installation: ``make soak-ha``.

PostgreSQL runs in three nodes under Patroni, with etcd and HAProxy. Two API processes and two workers use it, one of each
directly and one through PgBouncer. The local Stripe, an identity provider, HAProxy and nginx stand around them. Everything
is on loopback and from Debian's packages. Each scenario breaks something under load, and then checks that nothing was lost,
paid twice, refused or stuck.

``python -m tests.soak_ha --list`` names the scenarios.
"""
