"""The configuration that the embedded engine reads from its own directory."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from xml.sax.saxutils import escape

from aspects_orchestration.warehouse.embedded.place import ADMIN_USER, PIPELINE_USER, Credentials

_CONFIG = """<clickhouse>
  <listen_host>127.0.0.1</listen_host>
  <http_port>{http_port}</http_port>
  <tcp_port>{tcp_port}</tcp_port>
  <path>data/</path>
  <tmp_path>data/tmp/</tmp_path>
  <user_files_path>user_files/</user_files_path>
  <backups><allowed_path>backups/</allowed_path></backups>
  <users_config>users.xml</users_config>
  <access_control_improvements>
    <table_engines_require_grant>true</table_engines_require_grant>
  </access_control_improvements>
  <max_server_memory_usage_to_ram_ratio>0.5</max_server_memory_usage_to_ram_ratio>
  <mark_cache_size>134217728</mark_cache_size>
  <background_schedule_pool_size>16</background_schedule_pool_size>
  <send_crash_reports><enabled>false</enabled></send_crash_reports>
  <query_log>
    <database>system</database><table>query_log</table>
    <ttl>event_date + INTERVAL 7 DAY</ttl>
    <flush_interval_milliseconds>2000</flush_interval_milliseconds>
  </query_log>
  <part_log>
    <database>system</database><table>part_log</table>
    <ttl>event_date + INTERVAL 7 DAY</ttl>
    <flush_interval_milliseconds>2000</flush_interval_milliseconds>
  </part_log>
  <log-level>warning</log-level>
  <logger>
    <level>warning</level>
    <log>logs/server.log</log>
    <size>10M</size>
    <count>3</count>
  </logger>
</clickhouse>
"""

# The engine opens its own session as `default`, without a password, and does not start where it may not. That
# session lives as long as the server, so a limit of one session shuts `default` to everybody else.
_USERS = """<clickhouse>
  <profiles>
    <default/>
    <engine_session><max_sessions_for_user>1</max_sessions_for_user></engine_session>
  </profiles>
  <quotas><default/></quotas>
  <users>
    <default>
      <password></password>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>engine_session</profile>
      <quota>default</quota>
    </default>
    <{admin}>
      <password_sha256_hex>{admin_hash}</password_sha256_hex>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
      <access_management>1</access_management>
    </{admin}>
    <{pipeline}>
      <password_sha256_hex>{pipeline_hash}</password_sha256_hex>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
      <grants>
{grants}
      </grants>
    </{pipeline}>
  </users>
</clickhouse>
"""


def config_xml(http_port: int, tcp_port: int) -> str:
    """The server's configuration. Its paths are relative to the server's directory, which may so be moved.

    Args:
        http_port: 0 lets the system choose.
        tcp_port: 0 lets the system choose.
    """
    return _CONFIG.format(http_port=http_port, tcp_port=tcp_port)


def users_xml(credentials: Credentials, grants: Sequence[str]) -> str:
    """The users: an admin for the schema and the pipeline's own, each known by the hash of a password.

    Args:
        credentials: the passwords, of which only hashes are written.
        grants: `GRANT … ON …` statements for the pipeline user, without `TO`.
    """
    return _USERS.format(
        admin=ADMIN_USER,
        admin_hash=_hash(credentials.admin_password),
        pipeline=PIPELINE_USER,
        pipeline_hash=_hash(credentials.password),
        grants="\n".join(f"        <query>{escape(grant)}</query>" for grant in grants),
    )


def _hash(password: str) -> str:
    return sha256(password.encode()).hexdigest()
