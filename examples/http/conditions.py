"""The preconditions of RFC 9110, section 13, on a document whose only validator is its mtime in milliseconds.

    ETag: "1700000000123"                            the mtime, a strong validator
    Last-Modified: Tue, 14 Nov 2023 22:13:20 GMT     the same in whole seconds, rounded down
"""

import math
import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from email.utils import format_datetime

# Asked with these, MTGET sends every value, or none that has an mtime.
EVERY_VALUE = "-1.7976931348623157e308"
NO_VALUE = "1.7976931348623157e308"

# How long after a second's end it is certain that no more mtimes of that second come: clocks differ a little.
CLOCKS_AGREE = timedelta(seconds=1)

ANY = object()
ENTITY_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
# As MTGET prints integers, so that equal numbers are equal texts.
INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")

DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
LONG_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
TIME = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
# RFC 9110, 5.6.7: one form to send, and two obsolete ones to accept.
HTTP_DATES = [
    re.compile(rf"(?P<name>{'|'.join(DAYS)}), (?P<day>\d\d) (?P<month>\w{{3}}) (?P<year>\d{{4}}) {TIME} GMT", re.A),
    re.compile(rf"(?P<name>{'|'.join(LONG_DAYS)}), (?P<day>\d\d)-(?P<month>\w{{3}})-(?P<year>\d\d) {TIME} GMT", re.A),
    re.compile(rf"(?P<name>{'|'.join(DAYS)}) (?P<month>\w{{3}}) (?P<day>[ \d]\d) {TIME} (?P<year>\d{{4}})", re.A),
]


def http_date(text, now):
    """The seconds since 1970 of a date, or None if it is not valid."""
    for form in HTTP_DATES:
        if (found := form.fullmatch(text)) and found["month"] in MONTHS:
            break
    else:
        return None
    year = int(found["year"])
    if len(found["year"]) == 2:
        # "more than 50 years in the future" is the most recent year in the past with the same last two digits.
        year += now.year // 100 * 100
        year -= 100 if year > now.year + 50 else 0
    # A leap second is a valid date, and not one that datetime knows.
    second = min(int(found["second"]), 59) if found["second"] == "60" else int(found["second"])
    try:
        moment = datetime(
            year, MONTHS.index(found["month"]) + 1, int(found["day"]), int(found["hour"]), int(found["minute"]), second,
            tzinfo=timezone.utc,
        )
    except ValueError:
        return None
    return int(moment.timestamp())


def _single_date(headers, name, now):
    fields = headers.getlist(name)
    # A date with a comma too many, or one of two, is not valid: to be ignored.
    return http_date(fields[0].strip(), now) if len(fields) == 1 else None


def _entity_tags(headers, name):
    fields = headers.getlist(name)
    if not fields:
        return None
    if [field.strip() for field in fields] == ["*"]:
        return ANY
    return ENTITY_TAG.findall(",".join(fields))


def last_modified_seconds(mtime):
    return math.floor(Decimal(mtime) / 1000)


def validators(mtime, now):
    """The fields that tell a client what to ask with next time. None at all for a document without an mtime."""
    if mtime is None:
        return {}
    fields = {"ETag": f'"{mtime}"'}
    seconds = last_modified_seconds(mtime)
    # While its second is not over, another version with the same Last-Modified can come, and a client could not tell
    # them apart. (RFC 9110, 8.8.2.2; and 8.8.2.1: never a date in the future.)
    if 0 <= seconds + 1 <= (now - CLOCKS_AGREE).timestamp():
        fields["Last-Modified"] = format_datetime(datetime.fromtimestamp(seconds, timezone.utc), usegmt=True)
    return fields


@dataclass(frozen=True)
class Conditions:
    is_read: bool
    if_match: object
    if_unmodified_since: int | None
    if_none_match: object
    if_modified_since: int | None

    @classmethod
    def of(cls, method, headers, now):
        return cls(
            method in ("GET", "HEAD"),
            _entity_tags(headers, "if-match"),
            _single_date(headers, "if-unmodified-since", now),
            _entity_tags(headers, "if-none-match"),
            _single_date(headers, "if-modified-since", now),
        )

    def question(self):
        """Since and EXACT for MTGET: it must not keep back a value that `status` wants sent."""
        if self.if_none_match is ANY:
            return NO_VALUE, False
        if self.if_none_match is not None:
            # One of several can be asked about. If it is another one that matches, the value has come for nothing.
            for _weak, tag in self.if_none_match:
                if INTEGER.fullmatch(tag):
                    return tag, True
        elif self.if_modified_since is not None:
            return str(self.if_modified_since * 1000 + 999), False
        return EVERY_VALUE, False

    def status(self, exists, mtime):
        """200, 304 or 412, in the order of RFC 9110, 13.2.2."""

        def matches(tags, *, weakly):
            if tags is ANY:
                return exists
            return mtime is not None and any(tag == mtime and (weakly or not weak) for weak, tag in tags)

        def later_than(seconds):
            return last_modified_seconds(mtime) > seconds

        if self.if_match is not None:
            if not matches(self.if_match, weakly=False):
                return 412
        elif self.if_unmodified_since is not None and mtime is not None and later_than(self.if_unmodified_since):
            return 412
        if self.if_none_match is not None:
            if matches(self.if_none_match, weakly=True):
                return 304 if self.is_read else 412
        elif self.is_read and self.if_modified_since is not None and mtime is not None:
            if not later_than(self.if_modified_since):
                return 304
        return 200
