import http from 'k6/http';
import exec from 'k6/execution';
import { check, sleep } from 'k6';
import { SharedArray } from 'k6/data';

const BASE = (__ENV.BASE_URL || DEFAULT_BASE).replace(/\/+$/, '');
// How many users play each session at once.
const TIMES = Number(__ENV.TIMES || 1);
// The accounts, a CSV file with a header line, without quotes.
const accounts = new SharedArray('accounts', () => {
  if (!__ENV.IDENTITIES) return [];
  const [names, ...rows] = open(__ENV.IDENTITIES).split(/\r?\n/).filter((line) => line !== '').map((line) => line.split(','));
  return rows.map((row) => Object.fromEntries(names.map((name, column) => [name.trim(), row[column]])));
});

export const options = {
  scenarios: Object.fromEntries(SESSIONS.map(([session, start, length]) => [session, {
    executor: 'per-vu-iterations',
    exec: session,
    vus: TIMES,
    iterations: 1,
    startTime: `${start}s`,
    maxDuration: `${Math.ceil(length) + 600}s`,
  }])),
};

// An account of its own for every user.
function user() {
  const account = accounts[exec.vu.idInTest - 1];
  if (account === undefined) exec.test.abort('too few accounts: set IDENTITIES to a CSV file with one line per user');
  return account;
}

// Waits until so many milliseconds of the session are over.
function clock() {
  const began = Date.now();
  return (ms) => sleep(Math.max(0, began + ms - Date.now()) / 1000);
}

// One request; cookies and redirects are the session's own requests.
function send(method, target, captured, name, headers, body) {
  const params = { headers, tags: { name }, redirects: 0, jar: new http.CookieJar() };
  const response = http.request(method, BASE + target, body, params);
  check(response, { 'answered as captured or better': (r) => r.status > 0 && (r.status < 400 || captured >= 400) });
  return response;
}

// A body whose content the capture does not hold, at its recorded size.
const fillers = {};
function filler(bytes) {
  if (fillers[bytes] === undefined) fillers[bytes] = new Uint8Array(bytes).buffer;
  return fillers[bytes];
}

// Values of an answer; empty where it has none.
function json(response, path) {
  try { return text(response.json(path)); } catch (_) { return ''; }
}
function header(response, name) {
  const found = Object.keys(response.headers).find((is) => is.toLowerCase() === name.toLowerCase());
  return found === undefined ? '' : response.headers[found].trim().replace(/^bearer\s+/i, '');
}
function cookie(response, name) {
  return response.cookies[name] === undefined ? '' : response.cookies[name][0].value;
}
function segment(url, fromEnd) {
  const segments = url.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, '').split(/[?#]/)[0].split('/').filter((one) => one !== '');
  return decodeURIComponent(text(segments[segments.length - 1 - fromEnd]));
}
function query(url, key) {
  const pairs = text(url.split('#')[0].split('?')[1]).split('&').map((pair) => pair.split('='));
  const found = pairs.find(([name]) => name === key);
  return found === undefined ? '' : decodeURIComponent(text(found[1]).replace(/\+/g, ' '));
}
function link(value, relation) {
  const found = value.split(',').find((one) => new RegExp(`;\\s*rel="?${relation}"?`, 'i').test(one));
  return found === undefined ? '' : text(found.split('>')[0].split('<')[1]);
}
function uuidIn(value, nth) {
  return text((value.match(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/gi) || [])[nth]);
}
function between(value, before, after) {
  const start = value.indexOf(before);
  const from = start + before.length;
  const end = after === '' ? value.length : value.indexOf(after, from);
  return start < 0 || end < 0 ? '' : value.slice(from, end);
}

// Values made new, the same wherever the session repeats them.
function made() {
  const values = {};
  const once = (slot, make) => (values[slot] === undefined ? (values[slot] = make()) : values[slot]);
  return {
    uuid: (slot) => once(slot, () => 'xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx'.replace(/[xy]/g, (digit) =>
      (digit === 'x' ? Math.floor(Math.random() * 16) : 8 + Math.floor(Math.random() * 4)).toString(16))),
    time: (slot, aheadMs) => once(slot, () => Date.now() + aheadMs),
  };
}
function epoch(ms, perSecond, digits) {
  return ((ms / 1000) * perSecond).toFixed(digits);
}
function iso(ms, separator, digits, offsetMinutes, zone) {
  const [date, time] = new Date(ms + offsetMinutes * 60000).toISOString().slice(0, -1).split('T');
  const fraction = digits === 0 ? '' : `.${time.slice(9).padEnd(digits, '0').slice(0, digits)}`;
  return `${date}${separator}${time.slice(0, 8)}${fraction}${zone}`;
}

// Values inside JSON: within a string, and as a number or the like.
function text(value) {
  return value === undefined || value === null ? '' : String(value);
}
function inJson(value) {
  return JSON.stringify(value).slice(1, -1);
}
function asJson(value) {
  return /^(-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?|true|false|null)$/.test(value) ? value : JSON.stringify(value);
}
