"""The part of the production audit that is about dashboards: those in the LMS, their help, and their languages."""

from __future__ import annotations

import re
import uuid
from typing import Any, Final

from aspects_orchestration.doctor.model import Answer, Patient, advice, danger, ok, worst
from aspects_orchestration.doctor.tutor_site import QUOTE, TutorSite, set_to

#: Written from right to left, which Superset does not support.
_RIGHT_TO_LEFT: Final = frozenset({"ar", "ckb", "dv", "fa", "he", "ps", "sd", "ur", "yi"})
#: Locales that Aspects has translations of dashboards for.
_LOCALES: Final = frozenset(
    {"ar", "da", "de_DE", "el", "en", "es_419", "es_ES", "fr_CA", "he", "hi", "id", "it_IT"}
    | {"pt_BR", "pt_PT", "ru", "sw", "th", "tr_TR", "uk", "zh_CN"}
)
#: Languages that Superset has its menus in.
_LANGUAGES: Final = frozenset(
    {"ar", "ca", "de", "en", "es", "fa", "fi", "fr", "it", "ja", "ko", "lv", "mi", "nl", "pl", "pt"}
    | {"pt_BR", "ru", "sk", "sl", "tr", "uk", "zh", "zh_TW"}
)
_HELP: Final = {
    "ASPECTS_COURSE_OVERVIEW_HELP_MARKDOWN": "Course Overview",
    "ASPECTS_INDIVIDUAL_LEARNER_HELP_MARKDOWN": "Individual Learner",
    "ASPECTS_LEARNER_GROUPS_HELP_MARKDOWN": "At-Risk Learners",
    "ASPECTS_OPERATOR_HELP_MARKDOWN": "Operator",
}
_LANGUAGE_FORM: Final = "{es: {name: Español, flag: es}}"


def embedded_dashboards(_: Patient, site: TutorSite) -> Answer:
    """The dashboards in the LMS are there: a name, a slug and a UUID each."""
    if not site.flag("ASPECTS_ENABLE_INSTRUCTOR_DASHBOARD_PLUGIN"):
        return ok("the LMS embeds no dashboards")
    name = "ASPECTS_INSTRUCTOR_DASHBOARDS"
    found = site.value(name)
    if found is None:
        return ok("the LMS embeds the dashboards of Aspects")
    if not isinstance(found, list) or not found:
        return danger(
            "the LMS's list of dashboards is empty or no list",
            f"Remove {name} for those of Aspects, or give a list.",
        )
    bad = [why for number, one in enumerate(found, 1) for why in _wrong_with(number, one)]
    slugs = [one.get("slug") for one in found if isinstance(one, dict)]
    bad += [
        f"two dashboards have the slug {slug}"
        for slug in sorted({str(s) for s in slugs if slugs.count(s) > 1})
    ]
    allowed = site.value("SUPERSET_EMBEDDABLE_DASHBOARDS")
    if isinstance(allowed, dict):
        bad += [
            f"{one.get('slug')} may not be embedded: its UUID is not in SUPERSET_EMBEDDABLE_DASHBOARDS"
            for one in found
            if isinstance(one, dict) and one.get("uuid") not in allowed.values()
        ]
    if bad:
        return danger(bad[0], f"Mend {name} in config.yml, then `tutor local do init -l aspects`.", *bad[1:])
    return ok(f"the LMS embeds {len(found)} dashboards")


def _wrong_with(number: int, one: Any) -> list[str]:
    if not isinstance(one, dict):
        return [f"dashboard {number} is no mapping of name, slug and uuid"]
    found = [f"dashboard {number} has no {key}" for key in ("name", "slug", "uuid") if not one.get(key)]
    try:
        uuid.UUID(str(one.get("uuid") or uuid.NAMESPACE_URL))
    except ValueError:
        found.append(f"dashboard {number} has a uuid that is none")
    return found


def help_texts(_: Patient, site: TutorSite) -> Answer:
    """The dashboards' tabs "Help" say something."""
    empty = [name for name in _HELP if site.is_set(name) and not str(site.value(name)).strip()]
    if empty:
        shown = ", ".join(_HELP[name] for name in empty)
        return advice(
            f"the tab Help is empty on: {shown}",
            f"Give a text, or remove {', '.join(empty)} for that of Aspects.",
        )
    own = sum(site.is_set(name) for name in _HELP)
    return ok(f"every dashboard has a help text, {own} of them the site's own")


def languages(_: Patient, site: TutorSite) -> Answer:
    """Superset's menus are offered in languages that it has."""
    name = "SUPERSET_SUPPORTED_LANGUAGES"
    found = site.value(name)
    if found is None:
        return ok("the languages of Superset's menus are those of Aspects")
    if not isinstance(found, dict) or not found:
        return danger(
            f"{name} is no mapping of languages",
            f"Remove it for those of Aspects, or mend it: {_LANGUAGE_FORM}",
        )
    bad = [
        f"{code} has no name or no flag"
        for code, one in found.items()
        if not isinstance(one, dict) or not one.get("name") or not one.get("flag")
    ]
    if bad:
        return danger(bad[0], f"Mend {name}: {_LANGUAGE_FORM}", *bad[1:])
    return _known(name, [str(one) for one in found], _LANGUAGES, "Superset has no menus in")


def locales(_: Patient, site: TutorSite) -> Answer:
    """Dashboards are offered in languages that Aspects has translations of."""
    name = "SUPERSET_DASHBOARD_LOCALES"
    found = site.value(name)
    if found is None:
        # All that Aspects has translations for, Arabic and Hebrew among them.
        return _known(name, sorted(_LOCALES), _LOCALES, "Aspects has no translations for")
    if not isinstance(found, list) or not found:
        return danger(
            f"{name} is no list of locales",
            f"Remove it for that of Aspects, or give a list: {set_to(name, QUOTE + '[en, es_419]' + QUOTE)}",
        )
    return _known(name, [str(one) for one in found], _LOCALES, "Aspects has no translations for")


def _known(name: str, given: list[str], known: frozenset[str], lacks: str) -> Answer:
    answers = []
    backwards = [one for one in given if re.split("[-_]", one)[0] in _RIGHT_TO_LEFT]
    if backwards:
        answers.append(
            advice(
                f"Superset does not support writing from right to left: {', '.join(backwards)}",
                f"Give {name} without {'it' if len(backwards) == 1 else 'them'}, or tell who uses them: "
                + set_to(
                    name, QUOTE + "[" + ", ".join(one for one in given if one not in backwards) + "]" + QUOTE
                )
                if name == "SUPERSET_DASHBOARD_LOCALES"
                else f"Remove {'it' if len(backwards) == 1 else 'them'} from {name}, or tell who uses it.",
            )
        )
    strange = [one for one in given if one not in known]
    if strange:
        answers.append(
            advice(
                f"{lacks} {', '.join(strange)}",
                f"Remove it from {name}, or bring translations by the patch superset-extra-asset-translations.",
            )
        )
    return (
        worst(answers, f"{len(given)} languages, all of them known")
        if answers
        else ok(f"{len(given)} languages, all known")
    )
