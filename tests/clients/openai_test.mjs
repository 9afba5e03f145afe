// OpenAI's JavaScript client against a running `tack serve`; tests/clients/run.sh starts both.
//
// TACK_URL is the server: the models that ship, and `tiny`, a decoder of random weights that knows
// the 256 bytes and ends with token 257. TACK_KEYS_URL is another one, that asks for keys:
// TACK_STAFF_KEY may do everything, TACK_NARROW_KEY ask for banking-intent alone, TACK_SLOW_KEY ask once a
// minute.
import assert from 'node:assert/strict';
import net from 'node:net';
import { describe, test } from 'node:test';
import OpenAI from 'openai';

const [TASK, SENTIMENT, ENCODER, DECODER] = ['banking-intent', 'financial-sentiment', 'all-minilm-l6-v2.int8', 'tiny'];
const LATE = [{ role: 'user', content: 'My new card still has not come.' }];
const HELLO = [{ role: 'user', content: 'hello' }];
const NO_END = { 257: -100 };
const PING = { type: 'function', function: { name: 'ping', parameters: {
  type: 'object', properties: { host: { enum: ['a', 'b'] } }, required: ['host'] } } };

const baseURL = process.env.TACK_URL + '/v1';
const client = new OpenAI({ baseURL, apiKey: 'none', maxRetries: 0, timeout: 60_000 });
const say = (options = {}, more) => client.chat.completions.create(
  { model: DECODER, messages: HELLO, max_tokens: 16, temperature: 0, logit_bias: NO_END, ...options }, more);
const collect = async (stream) => {
  const all = [];
  for await (const one of stream) all.push(one);
  return all;
};
const text = (chunks) => chunks.map((c) => c.choices[0]?.delta.content ?? '').join('');
// The error that a call must end with.
const error = async (kind, call) => {
  try {
    await call();
  } catch (caught) {
    assert.ok(caught instanceof kind, `${caught.constructor.name}: ${caught.message}`);
    return caught;
  }
  assert.fail(`no ${kind.name}`);
};

describe('models', () => {
  test('list', async () => {
    const ids = (await collect(client.models.list())).map((model) => model.id);
    for (const id of [TASK, SENTIMENT, ENCODER, DECODER]) assert.ok(ids.includes(id), id);
  });
  test('retrieve', async () => {
    assert.deepEqual((await client.models.retrieve(SENTIMENT)).labels, ['negative', 'neutral', 'positive']);
    const caught = await error(OpenAI.NotFoundError, () => client.models.retrieve('gpt-4o'));
    assert.equal(caught.code, 'model_not_found');
    assert.match(caught.message, /tack serve/);
  });
});

describe('task models', () => {
  test('the label is the content, and logprobs are the probabilities', async () => {
    const answer = await client.chat.completions.create(
      { model: TASK, messages: LATE, logprobs: true, top_logprobs: 3 });
    assert.equal(answer.choices[0].message.content, 'card_arrival');
    assert.equal(answer.choices[0].finish_reason, 'stop');
    const [token] = answer.choices[0].logprobs.content;
    assert.equal(token.token, 'card_arrival');
    assert.equal(token.top_logprobs.length, 3);
    assert.ok(Math.exp(token.logprob) > 0.5 && token.logprob <= 0);
  });
  test('streaming, with usage', async () => {
    const chunks = await collect(await client.chat.completions.create(
      { model: TASK, messages: LATE, stream: true, stream_options: { include_usage: true } }));
    assert.equal(chunks[0].choices[0].delta.role, 'assistant');
    assert.equal(text(chunks), 'card_arrival');
    assert.equal(chunks.at(-2).choices[0].finish_reason, 'stop');
    assert.deepEqual(chunks.at(-1).choices, []);
    assert.ok(chunks.at(-1).usage.total_tokens > 5);
  });
});

describe('decoders', () => {
  test('max tokens, seeds', async () => {
    const answer = await say({ max_tokens: 5 });
    assert.equal(answer.choices[0].finish_reason, 'length');
    assert.equal(answer.usage.completion_tokens, 5);
    const said = [];
    for (const seed of [7, 7, 8]) said.push((await say({ seed, temperature: 1.5 })).choices[0].message.content);
    assert.equal(said[0], said[1]);
    assert.notEqual(said[0], said[2]);
  });
  test('stop', async () => {
    const answer = await say({ logit_bias: { ...NO_END, 120: 100 }, stop: ['xx'] });
    assert.equal(answer.choices[0].message.content, '');
    assert.equal(answer.choices[0].finish_reason, 'stop');
  });
  test('streaming says what the whole says', async () => {
    const whole = (await say()).choices[0].message.content;
    assert.equal(text(await collect(await say({ stream: true }))), whole);
    const helper = client.chat.completions.stream(
      { model: DECODER, messages: HELLO, max_tokens: 16, temperature: 0, logit_bias: NO_END });
    assert.equal((await helper.finalChatCompletion()).choices[0].message.content, whole);
  });
  test('streams that are left', async () => {
    for (let i = 0; i < 8; ++i) {
      const stream = await say({ max_tokens: 1900, stream: true });
      for await (const chunk of stream) {
        assert.ok(chunk.id);
        break; // the client aborts the request
      }
    }
    const controller = new AbortController();
    const stream = await say({ max_tokens: 1900, stream: true }, { signal: controller.signal });
    controller.abort();
    await collect(stream).catch((caught) => assert.ok(caught instanceof OpenAI.APIUserAbortError));
    assert.equal((await say({ max_tokens: 3 })).usage.completion_tokens, 3);
  });
  test('a JSON schema', async () => {
    const schema = { type: 'object', properties: { size: { enum: ['small', 'large'] }, rush: { type: 'boolean' } },
                     required: ['size', 'rush'], additionalProperties: false };
    const answer = await say({ max_tokens: 100, temperature: 1, seed: 3, logit_bias: undefined,
      response_format: { type: 'json_schema', json_schema: { name: 'order', strict: true, schema } } });
    const order = JSON.parse(answer.choices[0].message.content);
    assert.ok(['small', 'large'].includes(order.size) && typeof order.rush === 'boolean');
  });
  test('completions', async () => {
    const options = { model: DECODER, prompt: 'some text', max_tokens: 6, temperature: 0, logit_bias: NO_END };
    const whole = await client.completions.create(options);
    const chunks = await collect(await client.completions.create({ ...options, stream: true }));
    assert.equal(chunks.map((c) => c.choices[0].text).join(''), whole.choices[0].text);
  });
});

describe('tools', () => {
  const forced = { tools: [PING], tool_choice: 'required', max_tokens: 200 };
  test('a call that must be made', async () => {
    const { choices: [choice] } = await say(forced);
    assert.equal(choice.finish_reason, 'tool_calls');
    assert.equal(choice.message.content, null);
    assert.equal(choice.message.tool_calls[0].function.name, 'ping');
    assert.ok(['a', 'b'].includes(JSON.parse(choice.message.tool_calls[0].function.arguments).host));
  });
  test('streamed', async () => {
    const chunks = await collect(await say({ ...forced, stream: true }));
    const [call] = chunks.flatMap((c) => c.choices[0].delta.tool_calls ?? []);
    assert.equal(call.index, 0);
    assert.equal(call.function.name, 'ping');
    assert.equal(chunks.at(-1).choices[0].finish_reason, 'tool_calls');
  });
  test('run by the client', async () => {
    // The helper calls the function, sends its result back and asks again; with a named tool it
    // ends after one call.
    const asked = [];
    const ping = { type: 'function', function: { ...PING.function, parse: JSON.parse, description: 'pings a host',
      function: ({ host }) => { asked.push(host); return 'pong'; } } };
    const runner = client.chat.completions.runTools(
      { model: DECODER, messages: HELLO, tools: [ping], max_tokens: 200, temperature: 0,
        tool_choice: { type: 'function', function: { name: 'ping' } } });
    await runner.done();
    assert.equal(asked.length, 1);
    assert.equal(runner.messages.at(-1).role, 'tool');
    assert.equal(runner.messages.at(-1).content, 'pong');
  });
});

describe('embeddings', () => {
  test('base64, which the client asks for by itself, is float', async () => {
    const input = ['Where is my card?', 'Bananas are yellow.'];
    const both = await Promise.all([undefined, 'float'].map((encoding_format) =>
      client.embeddings.create({ model: ENCODER, input, encoding_format })));
    assert.equal(both[0].data[0].embedding.length, 384);
    for (const i of [0, 1])
      both[0].data[i].embedding.forEach((x, k) => assert.ok(Math.abs(x - both[1].data[i].embedding[k]) < 1e-7));
  });
});

describe('decisions', () => {
  const questions = [
    { type: 'choice', name: 'mood', instructions: '?', choices: [{ value: 'negative' }, { value: 'positive' }] },
    { type: 'score', instructions: '?', levels: [{ label: 'negative' }, { label: 'neutral' }, { label: 'positive' }] },
    { type: 'predicate', instructions: 'positive' },
    { type: 'choice', instructions: '?', choices: [{ value: true }, { value: false }] },
  ];
  test('answers', async () => {
    const decision = await client.decisions.create({ model: SENTIMENT, input: 'Profits rose by a third', questions });
    const [choice, score, predicate, refusal] = decision.answers;
    assert.equal(choice.choice, 'positive');
    assert.equal(choice.name, 'mood');
    assert.ok(Math.abs(choice.probabilities.reduce((sum, p) => sum + p.probability, 0) - 1) < 1e-9);
    assert.ok(score.score > 1 && score.score <= 2);
    assert.deepEqual(score.probabilities.map((p) => p.value), [0, 1, 2]);
    assert.ok(predicate.probability > 0.5);
    assert.deepEqual(refusal, { type: 'refusal', name: null });
    assert.equal(decision.usage.output_tokens, 3);
  });
  test('images', async () => {
    const input = [{ role: 'user', content: [{ type: 'input_image', image_url: 'data:' }] }];
    const caught = await error(OpenAI.BadRequestError,
                               () => client.decisions.create({ model: SENTIMENT, input, questions }));
    assert.equal(caught.param, 'input[0].content[0]');
  });
});

describe('errors', () => {
  test('a model that is not there', async () => {
    const caught = await error(OpenAI.NotFoundError, () => say({ model: 'gpt-4o' }));
    assert.equal(caught.code, 'model_not_found');
    assert.equal(caught.param, 'model');
    assert.equal(caught.type, 'invalid_request_error');
  });
  test('members are named', async () => {
    for (const [param, code, value] of [['n', 'unsupported_value', 2], ['colour', 'unknown_parameter', 'blue'],
                                        ['audio', 'unsupported_parameter', { voice: 'x' }], ['temperature', null, 'hot']]) {
      const caught = await error(OpenAI.BadRequestError, () => say({ [param]: value }));
      assert.deepEqual([caught.param, caught.code], [param, code]);
    }
  });
  test('an endpoint that is not there', async () => {
    assert.equal((await error(OpenAI.NotFoundError, () => client.files.list())).code, 'unknown_url');
  });
  test('nobody listens', async () => {
    const server = net.createServer();
    await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
    const { port } = server.address();
    await new Promise((closed) => server.close(closed));
    const down = new OpenAI({ baseURL: `http://127.0.0.1:${port}/v1`, apiKey: 'x', maxRetries: 0 });
    await error(OpenAI.APIConnectionError, () => down.models.list());
  });
  test('time out', async () => {
    await error(OpenAI.APIConnectionTimeoutError, () => say({ max_tokens: 1900 }, { timeout: 1 }));
  });
});

describe('keys', () => {
  const ask = (apiKey, model = TASK) => new OpenAI(
    { baseURL: process.env.TACK_KEYS_URL + '/v1', apiKey, maxRetries: 0 }).chat.completions.create({ model, messages: LATE });
  test('decide who may ask for what, and how often', async () => {
    assert.equal((await ask(process.env.TACK_STAFF_KEY)).choices[0].message.content, 'card_arrival');
    assert.equal((await error(OpenAI.AuthenticationError, () => ask('tk-wrong'))).code, 'invalid_api_key');
    await error(OpenAI.PermissionDeniedError, () => ask(process.env.TACK_NARROW_KEY, SENTIMENT));
    await ask(process.env.TACK_SLOW_KEY);
    const caught = await error(OpenAI.RateLimitError, () => ask(process.env.TACK_SLOW_KEY));
    assert.equal(caught.code, 'rate_limit_exceeded');
    assert.ok(Number(caught.headers.get('retry-after')) > 30);
  });
});

test('64 at once', async () => {
  const texts = Array.from({ length: 64 }, (_, i) => `${i} of my cards are lost`);
  const together = await client.embeddings.create({ model: ENCODER, input: texts });
  const each = await Promise.all(texts.map((input) => client.embeddings.create({ model: ENCODER, input })));
  each.forEach((one, i) => assert.deepEqual(one.data[0].embedding, together.data[i].embedding));
  const whole = (await say()).choices[0].message.content;
  const said = await Promise.all(texts.map(async () => text(await collect(await say({ stream: true })))));
  for (const one of said) assert.equal(one, whole);
});
