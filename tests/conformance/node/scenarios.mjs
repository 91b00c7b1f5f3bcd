// The official `openai` package, unmodified, against the server at argv[2]; prints what it made of
// the answers as one JSON object, which test_openai_node.py looks at.
import OpenAI from "openai";
import { zodFunction, zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

const [url, model, embedder] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });
const messages = [{ role: "user", content: "How is the weather?" }];
const Weather = z.object({ city: z.enum(["Rome", "Oslo"]), rainy: z.boolean() });
const tools = [zodFunction({ name: "get_weather", parameters: Weather })];
const greedy = { model, messages, temperature: 0 };

async function refusal(request) {
  try {
    await request;
  } catch (error) {
    const { status, code, param, type } = error;
    const { name } = error.constructor;
    return { name, ours: error instanceof OpenAI[name], status, code, param, type };
  }
  return "no error";
}

const scenarios = {
  async models() {
    const names = [];
    for await (const each of client.models.list()) names.push(each.id);
    return { names, one: (await client.models.retrieve(model)).id };
  },

  async chat() {
    const answer = await client.chat.completions.create({ ...greedy, max_tokens: 12 });
    return { text: answer.choices[0].message.content, usage: answer.usage };
  },

  async stream() {
    const stream = await client.chat.completions.create({
      ...greedy,
      max_tokens: 12,
      stream: true,
      stream_options: { include_usage: true },
    });
    const pieces = [];
    let usage = null;
    for await (const chunk of stream) {
      if (chunk.choices[0]?.delta.content) pieces.push(chunk.choices[0].delta.content);
      usage = chunk.usage ?? usage;
    }
    return { pieces, usage };
  },

  async streamHelper() {
    const pieces = [];
    const stream = client.chat.completions
      .stream({ ...greedy, max_tokens: 50, stop: "e" })
      .on("content", (piece) => pieces.push(piece));
    return { pieces, text: await stream.finalContent() };
  },

  async completions() {
    const answer = await client.completions.create({
      model,
      prompt: ["The king", "The sea"],
      max_tokens: 5,
      n: 2,
      seed: 3,
      logprobs: 2,
    });
    return answer.choices.map(({ text, logprobs }) => ({ text, tokens: logprobs.tokens.length }));
  },

  async parse() {
    const answer = await client.chat.completions.parse({
      ...greedy,
      response_format: zodResponseFormat(Weather, "weather"),
    });
    return answer.choices[0].message.parsed;
  },

  async namedTool() {
    const answer = await client.chat.completions.parse({
      ...greedy,
      tools,
      tool_choice: { type: "function", function: { name: "get_weather" } },
    });
    const { message, finish_reason } = answer.choices[0];
    const { name, parsed_arguments } = message.tool_calls[0].function;
    return { name, parsed_arguments, finish_reason, content: message.content };
  },

  async requiredTool() {
    const pieces = [];
    const stream = client.chat.completions
      .stream({ ...greedy, tools, tool_choice: "required", parallel_tool_calls: false })
      .on("tool_calls.function.arguments.delta", ({ arguments_delta }) => pieces.push(arguments_delta));
    const answer = await stream.finalChatCompletion();
    const { message, finish_reason } = answer.choices[0];
    return { pieces, parsed: message.tool_calls[0].function.parsed_arguments, finish_reason };
  },

  async embeddings() {
    const answer = await client.embeddings.create({ model: embedder, input: ["a cat", "a kitten"] });
    const [one, other] = answer.data.map(({ embedding }) => embedding);
    return { size: one.length, product: one.reduce((sum, x, i) => sum + x * other[i], 0) };
  },

  async errors() {
    return {
      unknown: await refusal(client.chat.completions.create({ ...greedy, model: "nobody" })),
      wrong: await refusal(client.chat.completions.create({ ...greedy, temperature: "hot" })),
      long: await refusal(client.completions.create({ model, prompt: Array(600).fill(7) })),
      elsewhere: await refusal(client.files.list()),
    };
  },

  async abort() {
    const stream = await client.chat.completions.create({
      ...greedy,
      max_tokens: 400,
      ignore_eos: true,
      stream: true,
    });
    let chunks = 0;
    for await (const _ of stream) {
      chunks += 1;
      if (chunks === 3) stream.controller.abort();
    }
    return { chunks };
  },

  async timeout() {
    const request = client.chat.completions.create({ ...greedy, max_tokens: 400 }, { timeout: 1 });
    return await refusal(request);
  },
};

const results = {};
for (const [name, scenario] of Object.entries(scenarios)) {
  try {
    results[name] = await scenario();
  } catch (error) {
    results[name] = { threw: String(error), stack: error.stack };
  }
}
console.log(JSON.stringify(results));
