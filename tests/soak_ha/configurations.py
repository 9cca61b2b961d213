"""The configuration files of the programs around Newsstand."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.soak_ha.processes import HOST

BIN = Path("/usr/lib/postgresql/15/bin")
TTL = 20  # seconds without news from the primary after which another node takes over
LOOP_WAIT, RETRY_TIMEOUT = 5, 5  # seconds; ttl >= loop_wait + 2 * retry_timeout
DATABASE, OWNER, SUPERUSER, REPLICATOR = "newsstand", "newsstand", "postgres", "replicator"
MAX_CONNECTIONS = 100  # PostgreSQL's default


def patroni(name: str, *, etcd: int, rest: int, port: int, folder: Path, archive: Path) -> str:
    """Return the configuration of a node. JSON is valid YAML."""
    settings: dict[str, Any] = {
        "scope": "newsstand",
        "name": name,
        "restapi": {"listen": f"{HOST}:{rest}", "connect_address": f"{HOST}:{rest}"},
        # Not etcd3: before 3.0.3, a Patroni that was frozen and continues overwrites the leader key of another node.
        "etcd": {"host": f"{HOST}:{etcd}"},
        "bootstrap": {
            "dcs": {
                "ttl": TTL,
                "loop_wait": LOOP_WAIT,
                "retry_timeout": RETRY_TIMEOUT,
                "maximum_lag_on_failover": 1_048_576,
                "synchronous_mode": True,
                "postgresql": {
                    "use_pg_rewind": True,
                    "parameters": {
                        "max_connections": MAX_CONNECTIONS,
                        "shared_buffers": "64MB",
                        "wal_level": "replica",
                        "hot_standby": "on",
                        "wal_keep_size": "256MB",
                        "archive_mode": "on",
                        "archive_timeout": "5s",
                        "archive_command": f"cp %p {archive}/.%f && mv {archive}/.%f {archive}/%f",
                    },
                },
            },
            "initdb": [{"encoding": "UTF8"}, {"locale": "C.UTF-8"}, "data-checksums"],
        },
        "postgresql": {
            "listen": f"{HOST}:{port}",
            "connect_address": f"{HOST}:{port}",
            "data_dir": str(folder / "data"),
            "bin_dir": str(BIN),
            "pgpass": str(folder / "pgpass"),
            "pg_hba": [f"host all all {HOST}/32 trust", f"host replication all {HOST}/32 trust"],
            "authentication": {
                "superuser": {"username": SUPERUSER},
                "replication": {"username": REPLICATOR},
            },
            "parameters": {"unix_socket_directories": str(folder)},
        },
    }
    return json.dumps(settings, indent=1)


def database_balancer(port: int, nodes: Mapping[str, tuple[int, int]]) -> str:
    """Return HAProxy's configuration for the primary. ``nodes`` has the port of each node and of its REST API."""
    servers = "\n".join(f"    server {name} {HOST}:{at} check port {rest}" for name, (at, rest) in nodes.items())
    return f"""\
global
    maxconn 500
defaults
    mode tcp
    retries 2
    timeout connect 2s
    timeout client 1h
    timeout server 1h
    timeout check 2s
listen primary
    bind {HOST}:{port}
    option httpchk OPTIONS /primary
    http-check expect status 200
    default-server inter 1s fall 2 rise 1 on-marked-down shutdown-sessions
{servers}
"""


def web_balancer(port: int, servers: Sequence[int]) -> str:
    """Return HAProxy's configuration for the API."""
    lines = "\n".join(f"    server api{number} {HOST}:{at} check" for number, at in enumerate(servers))
    return f"""\
global
    maxconn 2000
defaults
    mode http
    retries 2
    option redispatch
    timeout connect 2s
    timeout client 75s
    timeout server 75s
    timeout check 2s
listen api
    bind {HOST}:{port}
    option httpchk GET /readyz
    http-check expect status 200
    default-server inter 1s fall 2 rise 1
{lines}
"""


def nginx(port: int, servers: Sequence[int]) -> str:
    """Return nginx's configuration for the API. It only notices a stopped server when a connection fails."""
    lines = "\n".join(f"        server {HOST}:{at} max_fails=1 fail_timeout=2s;" for at in servers)
    return f"""\
worker_processes 1;
pid nginx.pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path tmp/body;
    proxy_temp_path tmp/proxy;
    fastcgi_temp_path tmp/fastcgi;
    uwsgi_temp_path tmp/uwsgi;
    scgi_temp_path tmp/scgi;
    upstream api {{
{lines}
    }}
    server {{
        listen {HOST}:{port};
        location / {{
            proxy_pass http://api;
            proxy_connect_timeout 2s;
            proxy_read_timeout 75s;
        }}
    }}
}}
"""


def pgbouncer(port: int, primary: int, folder: Path) -> str:
    """Return the configuration of PgBouncer in transaction mode."""
    return f"""\
[databases]
{DATABASE} = host={HOST} port={primary} dbname={DATABASE}
[pgbouncer]
listen_addr = {HOST}
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users.txt
pool_mode = transaction
default_pool_size = 20
max_client_conn = 300
server_login_retry = 1
server_connect_timeout = 3
query_wait_timeout = 15
"""
