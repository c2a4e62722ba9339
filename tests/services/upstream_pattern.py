"""What platform-plugin-aspects does, by its own means: Django models, Django REST framework, OFFSET pages, CSV.

    python tests/services/upstream_pattern.py JSON

JSON: {"lms": {Django's DATABASES entry}, "clickhouse": {"url", "user", "password", "database"}, "tables": […],
"batch_size": 10000}. It prints a JSON line: rows, seconds and peak memory of each table. Fields and their order are those
of its serializers (release 1.1), its errors in ClickHouse's CSV are not forgiven here, and it does not sleep between pages.
"""

from __future__ import annotations

import csv
import io
import json
import resource
import sys
import time
import urllib.parse
import urllib.request
import uuid
from base64 import b64encode
from datetime import date, datetime
from typing import Any

FIELDS = {
    "course_overviews": "org course_key display_name course_start course_end enrollment_start enrollment_end self_paced"
    " course_data_json created modified",
    "external_id": "external_user_id external_id_type username user_id",
    "user_profile": "id user_id name username email meta courseware language location year_of_birth gender"
    " level_of_education mailing_address city country state goals bio profile_image_uploaded_at phone_number",
    "course_enrollment": "id course_key created is_active mode username user_id",
    "tag": "id taxonomy parent value external_id lineage",
    "taxonomy": "id name",
    "object_tag": "id object_id taxonomy tag _value _export_id lineage",
}


def _no_time_is_none(text: str | bytes) -> datetime | None:
    """As mysqlclient, the driver of the LMS, has it."""
    from pymysql.converters import convert_datetime

    found = convert_datetime(text)
    return found if isinstance(found, datetime) else None


def set_up(lms: dict[str, Any]) -> None:
    """Django, with the LMS's database."""
    import pymysql

    pymysql.install_as_MySQLdb()
    pymysql.version_info = (2, 2, 8, "final", 0)  # type: ignore[assignment]
    import pymysql.converters

    for kind in (7, 12):  # TIMESTAMP and DATETIME of the protocol
        pymysql.converters.conversions[kind] = _no_time_is_none
        pymysql.converters.decoders[kind] = _no_time_is_none
    import django
    from django.conf import settings

    settings.configure(
        DATABASES={"default": lms},
        USE_TZ=True,
        TIME_ZONE="UTC",
        INSTALLED_APPS=[],
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    )
    django.setup()


def serializers() -> dict[str, tuple[Any, Any]]:
    """A query set and a serializer class for each table."""
    from django.db import models
    from rest_framework import serializers as drf

    def model(name: str, table: str, /, **fields: Any) -> Any:
        meta = type("Meta", (), {"db_table": table, "app_label": "lms", "managed": False})
        return type(name, (models.Model,), {"Meta": meta, "__module__": __name__, **fields})

    text, moment, truth, number = (
        models.TextField,
        models.DateTimeField,
        models.BooleanField,
        models.IntegerField,
    )

    def to(other: Any, **more: Any) -> Any:
        return models.ForeignKey(other, on_delete=models.DO_NOTHING, related_name="+", null=True, **more)

    user = model("User", "auth_user", username=text(), email=text())
    kind = model("ExternalIdType", "external_user_ids_externalidtype", name=text())
    external_id = model(
        "ExternalId",
        "external_user_ids_externalid",
        external_user_id=models.UUIDField(),
        external_id_type=to(kind),
        user=to(user),
    )
    profile_texts = (
        "name meta courseware language location gender level_of_education mailing_address city country state goals bio"
        " phone_number"
    )
    profile = model(
        "UserProfile",
        "auth_userprofile",
        user=to(user),
        year_of_birth=number(null=True),
        profile_image_uploaded_at=moment(null=True),
        **{one: text(null=True) for one in profile_texts.split()},
    )
    overview_texts = "org display_name advertised_start effort external_id language"
    overview_times = "created modified start end announcement enrollment_start enrollment_end"
    overview_truths = "self_paced invitation_only enable_proctored_exams entrance_exam_enabled"
    overview = model(
        "CourseOverview",
        "course_overviews_courseoverview",
        id=models.CharField(primary_key=True, max_length=255),
        lowest_passing_grade=models.DecimalField(max_digits=5, decimal_places=2, null=True),
        max_student_enrollments_allowed=number(null=True),
        **{one: text(null=True) for one in overview_texts.split()},
        **{one: moment(null=True) for one in overview_times.split()},
        **{one: truth() for one in overview_truths.split()},
    )
    enrollment = model(
        "CourseEnrollment",
        "student_courseenrollment",
        course_id=text(),
        created=moment(null=True),
        is_active=truth(),
        mode=text(),
        user=to(user),
    )
    taxonomy = model(
        "Taxonomy", "oel_tagging_taxonomy", id=models.BigAutoField(primary_key=True), name=text()
    )
    tag = model(
        "Tag",
        "oel_tagging_tag",
        id=models.BigAutoField(primary_key=True),
        taxonomy=to(taxonomy),
        parent=to("self"),
        value=text(),
        external_id=text(null=True),
    )
    object_tag = model(
        "ObjectTag",
        "oel_tagging_objecttag",
        id=models.BigAutoField(primary_key=True),
        object_id=text(),
        taxonomy=to(taxonomy),
        tag=to(tag),
        _value=text(),
        _export_id=text(),
    )

    def ancestry(one: Any) -> list[Any]:
        found = []
        while one:
            found.append(one)
            one = one.parent
        return found

    def lineage(one: Any) -> str:
        return json.dumps([each.value for each in reversed(ancestry(one)[:3])])

    def default(value: Any) -> str:
        assert isinstance(value, date)
        return value.isoformat()

    def course_data(one: Any) -> str:
        tags: set[int] = set()
        for each in object_tag.objects.filter(object_id=one.id).exclude(taxonomy=None).order_by("id"):
            tags.update(ancestor.id for ancestor in ancestry(each.tag))
        values = {
            "advertised_start": one.advertised_start,
            "announcement": one.announcement,
            "lowest_passing_grade": float(one.lowest_passing_grade),
            **{
                name: getattr(one, name)
                for name in (
                    "invitation_only",
                    "max_student_enrollments_allowed",
                    "effort",
                    "enable_proctored_exams",
                    "entrance_exam_enabled",
                    "external_id",
                    "language",
                )
            },
            "tags": list(tags),
        }
        return json.dumps(values, default=default)

    def computed(how: Any) -> Any:
        class Computed(drf.Field):  # type: ignore[misc]
            def to_representation(self, value: Any) -> Any:
                return how(value)

        return Computed(source="*")

    named = {
        "dump_id": lambda: computed(lambda _: uuid.uuid4()),
        "time_last_dumped": lambda: computed(lambda _: datetime.now().astimezone()),
        "username": lambda: drf.CharField(source="user.username"),
        "email": lambda: drf.CharField(source="user.email"),
        "external_id_type": lambda: drf.CharField(source="external_id_type.name"),
        "course_start": lambda: drf.CharField(source="start"),
        "course_end": lambda: drf.CharField(source="end"),
    }
    own = {
        "course_overviews": {
            "course_key": lambda: computed(lambda one: str(one.id)),
            "course_data_json": lambda: computed(course_data),
        },
        "course_enrollment": {"course_key": lambda: computed(lambda one: str(one.course_id))},
        "tag": {"lineage": lambda: computed(lineage)},
        "object_tag": {
            "lineage": lambda: computed(lambda one: lineage(one.tag) if one.tag else json.dumps([one._value]))
        },
    }
    related = {
        "user_profile": ["user"],
        "external_id": ["user", "external_id_type"],
        "course_enrollment": ["user"],
    }
    found = {}
    for name, of in {
        "course_overviews": overview,
        "external_id": external_id,
        "user_profile": profile,
        "course_enrollment": enrollment,
        "tag": tag,
        "taxonomy": taxonomy,
        "object_tag": object_tag,
    }.items():
        fields = [*FIELDS[name].split(), "dump_id", "time_last_dumped"]
        declared = {**named, **own.get(name, {})}
        made = {one: declared[one]() for one in fields if one in declared}
        meta = type("Meta", (), {"model": of, "fields": fields})
        serializer = type(f"{name}_serializer", (drf.ModelSerializer,), {"Meta": meta, **made})
        query = of.objects.all().order_by("pk")
        found[name] = (query.select_related(*related[name]) if name in related else query, serializer)
    return found


def dump(clickhouse: dict[str, str], table: str, query: Any, serializer: Any, batch_size: int) -> int:
    """Dump a table page by page; returns its rows."""
    from django.core.paginator import Paginator

    rows = 0
    pages = Paginator(query, batch_size)
    for number in range(1, pages.num_pages + 1):
        items = serializer(list(pages.page(number).object_list), many=True).data
        output = io.StringIO()
        writer = csv.writer(output, quoting=csv.QUOTE_NONNUMERIC)
        for item in items:
            writer.writerow(item.values())
        insert = f"INSERT INTO {clickhouse['database']}.{table} FORMAT CSV"
        request = urllib.request.Request(  # noqa: S310
            f"{clickhouse['url']}/?{urllib.parse.urlencode({'query': insert})}",
            data=output.getvalue().encode(),
            method="POST",
        )
        login = b64encode(f"{clickhouse['user']}:{clickhouse['password']}".encode()).decode()
        request.add_header("Authorization", f"Basic {login}")
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            answer.read()
        rows += len(items)
    return rows


def main(given: dict[str, Any]) -> None:
    """Dump what is asked for."""
    set_up(given["lms"])
    known = serializers()
    for table in given["tables"]:
        started = time.monotonic()
        rows = dump(given["clickhouse"], table, *known[table], given.get("batch_size", 10_000))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        seconds = time.monotonic() - started
        sys.stdout.write(
            json.dumps({"table": table, "rows": rows, "seconds": seconds, "peak_mb": peak}) + "\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main(json.loads(sys.stdin.read()))
