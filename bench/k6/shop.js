// A load test for k6 (https://grafana.com/docs/k6): visitors look around while customers register, fill a cart and buy it.
//
//   k6 run -e BASE_URL=http://shop.example bench/k6/shop.js
//   k6 run -e BASE_URL=… -e VISITORS=50 -e BUYERS=20 -e DURATION=5m bench/k6/shop.js
//
// All of them come from one address: the Shop needs a rateLimitPerMinute that lets them in.
// It fails when a check or a threshold does. Its accounts and orders stay in the shop.

import { check, fail, group, sleep } from 'k6';
import http from 'k6/http';
import { Counter, Trend } from 'k6/metrics';

const API = `${(__ENV.BASE_URL || 'http://localhost:8080').replace(/\/+$/, '')}/api/v1`;
const DURATION = __ENV.DURATION || '1m';
// Access tokens live for five minutes.
const TOKEN_SECONDS = 240;
const PATIENCE_SECONDS = 30;
const WORDS = ['mug', 'lamp', 'wool', 'coffe', 'black'];

const orderToEnd = new Trend('order_to_end', true);
const paid = new Counter('orders_paid');
const soldOut = new Counter('orders_sold_out');

export const options = {
  scenarios: {
    visitors: {
      executor: 'constant-vus', exec: 'visit', vus: Number(__ENV.VISITORS || 10), duration: DURATION,
    },
    buyers: {
      executor: 'constant-vus', exec: 'buy', vus: Number(__ENV.BUYERS || 5), duration: DURATION,
      // Whoever has ordered sees it through.
      gracefulStop: `${PATIENCE_SECONDS}s`,
    },
  },
  thresholds: {
    checks: ['rate>0.99'],
    http_req_failed: ['rate<0.01'],
    'http_req_duration{name:products}': ['p(95)<500'],
    'http_req_duration{name:search}': ['p(95)<800'],
    'http_req_duration{name:product}': ['p(95)<500'],
    'http_req_duration{name:cart}': ['p(95)<500'],
    'http_req_duration{name:order}': ['p(95)<1000'],
    order_to_end: ['p(95)<5000'],
    orders_paid: ['count>0'],
  },
};

// One name for all addresses of a kind, or every product would be a series of its own.
const named = (name, headers) => ({ tags: { name }, headers: { 'Content-Type': 'application/json', ...headers } });
const bearer = (account) => ({ Authorization: `Bearer ${account.access}` });
const any = (list) => list[Math.floor(Math.random() * list.length)];
const post = (path, body, params) => http.post(`${API}${path}`, JSON.stringify(body), params);

export function setup() {
  const answer = http.get(`${API}/products?limit=100`, named('products'));
  const products = answer.status === 200 ? answer.json('items') : [];
  if (products.length === 0) fail(`there is nothing to buy at ${API}: ${answer.status} ${answer.error}`);
  return products.map((product) => product.id);
}

export function visit(products) {
  group('browse', () => {
    const list = http.get(`${API}/products?limit=20`, named('products'));
    check(list, { 'products are listed': (r) => r.status === 200 && r.json('items').length > 0 });
    const next = list.json('next_cursor');
    if (next) {
      const more = http.get(`${API}/products?limit=20&cursor=${encodeURIComponent(next)}`, named('products'));
      check(more, { 'there is a second page': (r) => r.status === 200 });
    }
  });
  group('search', () => {
    const found = http.get(`${API}/products?q=${any(WORDS)}&limit=20`, named('search'));
    check(found, { 'a search is answered': (r) => r.status === 200 && Array.isArray(r.json('items')) });
  });
  group('product page', () => {
    const page = http.get(`${API}/products/${any(products)}`, named('product'));
    check(page, {
      'a product page is whole': (r) =>
        r.status === 200 && ['name', 'price', 'stock', 'rating'].every((part) => r.json(part) !== null),
    });
  });
  sleep(Math.random());
}

// Each virtual buyer has its own copy.
let account;

function keep(answer) {
  const tokens = answer.json();
  account = { ...account, access: tokens.access_token, refresh: tokens.refresh_token, since: Date.now() };
}

function enter() {
  if (account && Date.now() - account.since < TOKEN_SECONDS * 1000) return;
  if (account) {
    const renewed = post('/auth/refresh', { refresh_token: account.refresh }, named('refresh'));
    if (check(renewed, { 'tokens are renewed': (r) => r.status === 200 })) return keep(renewed);
  }
  account = undefined;
  const email = `k6-${crypto.randomUUID()}@example.com`;
  const password = `battery staple ${crypto.randomUUID()}`;
  const made = post('/auth/register', { email, password, name: 'Kay Six' }, named('register'));
  check(made, { 'an account is opened': (r) => r.status >= 200 && r.status < 300 });
  const entered = post('/auth/login', { email, password }, named('login'));
  if (check(entered, { 'it can be entered': (r) => r.status === 200 })) keep(entered);
}

export function buy(products) {
  group('account', enter);
  if (!account) {
    sleep(1);
    return;
  }
  let order;
  group('cart and order', () => {
    const item = { product_id: any(products), quantity: 1 };
    const cart = post('/cart/items', item, named('cart', bearer(account)));
    check(cart, { 'the cart takes it': (r) => r.status === 200 });
    const key = { 'Idempotency-Key': crypto.randomUUID() };
    const body = { payment_token: 'tok_visa' };
    const placed = post('/orders', body, named('order', { ...bearer(account), ...key }));
    if (check(placed, { 'the order is taken': (r) => r.status === 202 })) order = placed.json('id');
  });
  if (order) group('wait for the goods', () => wait(order));
  sleep(Math.random());
}

function wait(order) {
  const begun = Date.now();
  let status = 'pending';
  while (['pending', 'reserved'].includes(status) && Date.now() - begun < PATIENCE_SECONDS * 1000) {
    sleep(0.2);
    const answer = http.get(`${API}/orders/${order}`, named('order status', bearer(account)));
    if (answer.status === 200) status = answer.json('status');
  }
  orderToEnd.add(Date.now() - begun);
  // What others have bought is gone; that is no fault of the shop.
  check(status, { 'the order is paid, or sold out': (s) => s === 'paid' || s === 'rejected' });
  if (status === 'paid') paid.add(1);
  if (status === 'rejected') soldOut.add(1);
}
