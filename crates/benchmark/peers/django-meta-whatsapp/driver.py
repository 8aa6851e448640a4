"""django-meta-whatsapp's campaign, as its own documentation runs it: `driver.py --graph URL --recipients N` prints one line of JSON.

Its address of the Graph API is a constant, and is replaced; its tables lie in SQLite, in memory, which costs it least.
"""

import argparse
import json
import time

import django
from django.conf import settings
from django.core.management import call_command

line = argparse.ArgumentParser()
line.add_argument("--graph", required=True)
line.add_argument("--phone-number-id", required=True)
line.add_argument("--recipients", type=int, required=True)
args = line.parse_args()

settings.configure(
    SECRET_KEY="benchmark",
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django_meta_whatsapp"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    USE_TZ=True,
)
django.setup()

from django_meta_whatsapp import models, utils  # noqa: E402: needs the settings

utils.GRAPH_BASE = args.graph.rstrip("/") + "/" + utils.GRAPH_API_VERSION
call_command("migrate", verbosity=0)
account = models.WhatsAppAccount.objects.create(
    name="Bench", access_token="EAAG-a-token", phone_number_id=args.phone_number_id
)
template = models.WhatsAppTemplate.objects.create(
    account=account, name="bench", language="en", status="APPROVED", body_text="Hello {{1}}"
)
models.WhatsAppContact.objects.bulk_create(
    models.WhatsAppContact(phone=f"49161{n:08}", name=f"Lena {n}") for n in range(args.recipients)
)
campaign = models.WhatsAppCampaign.objects.create(
    account=account,
    name="bench",
    template=template,
    audience_type="contacts",
    audience_filters={},
    parameter_mappings={"1": "name"},
)
begun = time.monotonic()
ended = utils.run_campaign(campaign.pk)
print(json.dumps({"seconds": time.monotonic() - begun, **ended}))
