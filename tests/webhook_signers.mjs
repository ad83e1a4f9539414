// The vendors' own libraries: they sign requests for us, and verify what we signed. JSON comes in and goes out.

import { readFileSync } from "node:fs";
import { Webhooks } from "@octokit/webhooks";
import Stripe from "stripe";
import { Webhook as Svix } from "svix";
import twilio from "twilio/lib/webhooks/webhooks.js";

const { secret, other, time, id, body, signed } = JSON.parse(readFileSync(0, "utf8"));

const stripe = new Stripe("sk_test_not_used");
const github = new Webhooks({ secret });
const svix = new Svix(secret);
const params = Object.fromEntries(new URLSearchParams(signed.twilio_form.form));

const taken = {
  stripe: stripe.webhooks.constructEvent(body, signed.stripe, secret).id === "evt_1",
  github: await github.verify(body, signed.github),
  svix: svix.verify(body, signed.svix) !== undefined,
  twilio_form: twilio.validateRequest(secret, signed.twilio_form.signature, signed.twilio_form.url, params),
  twilio_json: twilio.validateRequestWithBody(secret, signed.twilio_json.signature, signed.twilio_json.url, body),
};

const jsonUrl = `${signed.twilio_form.url}&bodySHA256=${twilio.getExpectedBodyHash(body)}`;
const sign = async (secret, time) => ({
  stripe: stripe.webhooks.generateTestHeaderString({ payload: body, secret, timestamp: time }),
  github: await new Webhooks({ secret }).sign(body),
  svix: new Svix(secret).sign(id, new Date(time * 1000), body),
  twilio_form: twilio.getExpectedTwilioSignature(secret, signed.twilio_form.url, params),
  twilio_json: twilio.getExpectedTwilioSignature(secret, jsonUrl, {}),
  twilio_json_url: jsonUrl,
});

console.log(JSON.stringify({
  taken,
  made: await sign(secret, time),
  by_other: await sign(other, time),
  too_old: await sign(secret, time - 600),
  in_the_future: await sign(secret, time + 600),
}));
