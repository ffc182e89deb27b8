
"use strict";

// Everything of the description becomes text, never markup.
function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes ?? {})) made.setAttribute(attribute, value);
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

const code = (text) => element("code", null, text);
const soft = (text) => element("span", { class: "soft" }, text);

// A sentence, with what stands between backticks as code.
function prose(text) {
  const parts = (text ?? "").split("`");
  return element("p", null, ...parts.map((part, index) => (index % 2 ? code(part) : part)));
}

class Description {
  constructor(json) {
    this.json = json;
  }

  // What a schema refers to; what stands beside the reference goes first.
  resolve(schema) {
    if (!schema.$ref) return schema;
    const path = schema.$ref.replace(/^#\//, "").split("/");
    const found = path.reduce((at, name) => at?.[name], this.json) ?? {};
    const { $ref, ...own } = schema;
    return { ...this.resolve(found), ...own, title: path.at(-1) };
  }

  // All fields of an object, those of its parts and of what it may be instead of null included.
  fields(schema) {
    const whole = this.resolve(schema);
    const own = Object.entries(whole.properties ?? {}).map(([name, field]) => {
      return { name, field, required: (whole.required ?? []).includes(name) };
    });
    const parts = (whole.allOf ?? []).flatMap((part) => this.fields(part));
    const orNull = this.isOptional(whole) ? this.fields(this.variants(whole)[0]) : [];
    return [...own, ...parts, ...orNull.map((field) => ({ ...field, required: false }))];
  }

  // The schemas of which one holds, null aside.
  variants(schema) {
    const any = schema.oneOf ?? schema.anyOf ?? [];
    return any.map((variant) => this.resolve(variant)).filter((variant) => variant.type !== "null");
  }

  isOptional(schema) {
    const any = schema.oneOf ?? schema.anyOf ?? [];
    return any.length > 1 && this.variants(schema).length === 1;
  }

  type(schema) {
    const whole = this.resolve(schema);
    const any = this.variants(whole);
    if (any.length > 0) {
      const types = [...new Set(any.map((variant) => this.type(variant)))];
      return types.join(" or ") + (this.isOptional(whole) ? " or null" : "");
    }
    if (whole.allOf) return "object";
    const types = [whole.type ?? "any JSON"].flat();
    const named = types.map((type) => {
      if (type === "array") return `array of ${this.type(whole.items ?? {})}`;
      return type === "string" && whole.format ? `string (${whole.format})` : type;
    });
    return named.join(" or ");
  }

  // The bounds of a value, in words.
  bounds(schema) {
    const whole = this.resolve(schema);
    const between = (least, most, unit) => {
      if (least !== undefined && most !== undefined) return `${least} to ${most}${unit}`;
      if (least !== undefined) return `at least ${least}${unit}`;
      return most === undefined ? null : `at most ${most}${unit}`;
    };
    return [
      between(whole.minimum, whole.maximum, ""),
      between(whole.minLength, whole.maxLength, " characters"),
      between(whole.minItems, whole.maxItems, " items"),
    ].filter((bound) => bound !== null);
  }

  // A value that a schema takes, with the fields that are required or have an example.
  sample(schema, depth = 0) {
    const whole = this.resolve(schema);
    if (whole.example !== undefined) return whole.example;
    if (whole.enum) return whole.enum[0];
    const [variant] = this.variants(whole);
    if (variant) return this.sample(variant, depth);
    const type = [whole.type].flat()[0];
    if (type === "object" || whole.allOf) {
      const wanted = depth > 4 ? [] : this.fields(whole).filter(({ field, required }) => required || this.resolve(field).example !== undefined);
      // What an operation is comes first.
      wanted.sort((one, other) => (other.name === "op") - (one.name === "op"));
      return Object.fromEntries(wanted.map(({ name, field }) => [name, this.sample(field, depth + 1)]));
    }
    if (type === "array") return [this.sample(whole.items ?? {}, depth + 1)];
    if (type === "integer" || type === "number") return whole.minimum ?? 1;
    if (type === "boolean") return true;
    return "…";
  }

  operations() {
    return Object.entries(this.json.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ path, method, ...operation })),
    );
  }
}

// Where the schema of a JSON body stands.
const schemaOf = (body) => body?.content?.["application/json"]?.schema;

class Page {
  constructor(description) {
    this.description = description;
  }

  show() {
    const { info } = this.description.json;
    document.getElementById("version").textContent = info.version;
    document.getElementById("about").textContent = info.description ?? "";
    const main = document.getElementById("operations");
    const index = document.getElementById("index");
    const operations = this.description.operations();
    for (const tag of this.tags(operations)) {
      const those = operations.filter((operation) => operation.tags?.[0] === tag);
      const links = those.map(({ operationId, path }) => element("li", null, element("a", { href: `#${operationId}` }, code(path))));
      index.append(element("ul", null, element("li", null, element("a", { href: `#tag-${tag}` }, tag)), ...links));
      main.append(element("section", { "aria-labelledby": `tag-${tag}` }, element("h2", { id: `tag-${tag}` }, tag), ...those.map((operation) => this.operation(operation))));
    }
    main.append(this.errors());
  }

  // The tags as they matter to a reader: memory first, health last.
  tags(operations) {
    const order = ["memory", "admin", "health"];
    const place = (tag) => (order.includes(tag) ? order.indexOf(tag) : 1.5);
    const tags = new Set(operations.map((operation) => operation.tags?.[0] ?? "other"));
    return [...tags].sort((one, other) => place(one) - place(other));
  }

  operation(operation) {
    const { path, method, summary, description, operationId } = operation;
    const parameters = (operation.parameters ?? []).map((given) => this.description.resolve(given));
    const request = schemaOf(operation.requestBody);
    const parts = [
      description ? prose(description) : null,
      element("h3", null, "Example"),
      element("pre", { tabindex: "0", "aria-label": "Example" }, code(this.example(operation))),
    ];
    if (parameters.length > 0) {
      const fields = parameters.map(({ name, schema, required, description: about, in: place }) => {
        return { name, field: { ...schema, description: about }, required, place };
      });
      parts.push(element("h3", null, "Parameters"), this.list(fields));
    }
    if (request) parts.push(element("h3", null, "Body"), this.schema(request));
    parts.push(element("h3", null, "Answers"), this.answers(operation.responses));
    const kind = element("span", { class: `method ${method}` }, method.toUpperCase());
    const heading = element("summary", null, kind, " ", code(path), " ", soft(summary ?? ""));
    return element("details", { class: "operation", id: operationId }, heading, element("div", null, ...parts));
  }

  answers(responses) {
    const rows = Object.entries(responses).map(([status, given]) => {
      const answer = this.description.resolve(given);
      const about = prose(answer.description);
      about.prepend(element("strong", null, status), " ");
      const isError = Number(status) >= 400 && this.description.resolve(schemaOf(answer) ?? {}).title === "Envelope";
      const schema = schemaOf(answer);
      if (!schema || isError) return element("li", null, about);
      return element("li", null, about, this.schema(schema));
    });
    return element("ul", { class: "answers" }, ...rows);
  }

  // The fields of a schema, or of each of its variants.
  schema(schema, above = []) {
    const whole = this.description.resolve(schema);
    const fields = this.description.fields(whole);
    if (fields.length > 0) return this.list(fields, above);
    const variants = this.description.variants(whole).filter((variant) => this.description.fields(variant).length > 0);
    if (variants.length > 0) {
      const each = variants.map((variant, index) => element("li", null, soft(index === 0 ? "one of" : "or"), this.schema(variant, above)));
      return element("ul", { class: "fields" }, ...each);
    }
    return element("p", null, soft(this.description.type(whole)));
  }

  list(fields, above = []) {
    const requiredFirst = [...fields].sort((one, other) => Boolean(other.required) - Boolean(one.required));
    return element("ul", { class: "fields" }, ...requiredFirst.map((field) => this.field(field, above)));
  }

  field({ name, field, required, place }, above) {
    const whole = this.description.resolve(field);
    const facts = [place ? `${place}, ` : "", this.description.type(whole)].join("");
    const bounds = this.description.bounds(whole);
    const head = element("p", null, element("code", { class: "name" }, name), " ", soft([facts, ...bounds].join(", ")));
    if (required) head.append(" ", element("span", { class: "required" }, "required"));
    const row = element("li", null, head);
    const about = whole.description ?? this.description.variants(whole)[0]?.description;
    if (about) row.append(prose(about));
    const values = whole.enum ?? this.description.variants(whole).flatMap((variant) => variant.enum ?? []);
    if (values.length > 0) row.append(element("p", null, soft("one of "), ...values.flatMap((value) => [code(value), " "])));
    if (whole.pattern) row.append(element("p", null, soft("pattern "), code(whole.pattern)));
    const inner = whole.items ? this.description.resolve(whole.items) : whole;
    const path = [...above, inner.title];
    const isDeep = inner.title && above.includes(inner.title);
    const hasFields = this.description.fields(inner).length > 0 || this.description.variants(inner).some((variant) => this.description.fields(variant).length > 0);
    if (hasFields && !isDeep) row.append(this.schema(inner, path));
    return row;
  }

  // A request that can be typed, once its variables are set.
  example({ path, method, security, requestBody, tags }) {
    const isOpen = security?.some((scheme) => Object.keys(scheme).length === 0);
    const key = tags?.includes("admin") ? "AGENTFS_ADMIN_KEY" : "AGENTFS_API_KEY";
    const parts = [`curl "$AGENTFS_URL${path}"`];
    if (!isOpen) parts.push(`-H "Authorization: Bearer $${key}"`);
    const schema = schemaOf(requestBody);
    if (schema) {
      const body = JSON.stringify(this.description.sample(schema)).replaceAll("'", "'\\''");
      parts.push("-H 'Content-Type: application/json'", `-d '${body}'`);
    } else if (method !== "get") {
      parts.push(`-X ${method.toUpperCase()}`);
    }
    return parts.join(" \\\n  ");
  }

  // What every answer that is no success looks like, once.
  errors() {
    const schema = this.description.json.components?.schemas?.Envelope;
    if (!schema) return "";
    const heading = element("h2", { id: "errors" }, "Errors");
    return element("section", { "aria-labelledby": "errors" }, heading, prose(schema.description), this.schema(schema));
  }
}

// Shows only operations whose path and summary have all words.
function filter() {
  const words = document.getElementById("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const operations = [...document.querySelectorAll(".operation")];
  for (const operation of operations) {
    const text = operation.querySelector("summary").textContent.toLowerCase();
    operation.hidden = !words.every((word) => text.includes(word));
  }
  for (const section of document.querySelectorAll("main section")) {
    const inside = [...section.querySelectorAll(".operation")];
    section.hidden = inside.length > 0 && inside.every((operation) => operation.hidden);
  }
  const shown = operations.filter((operation) => !operation.hidden).length;
  document.getElementById("found").textContent = words.length > 0 ? `${shown} of ${operations.length} operations` : "";
}

// Opens the operation that the address names.
function open() {
  const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!named?.matches("details")) return;
  named.open = true;
  named.scrollIntoView();
  named.querySelector("summary").focus();
}

function toggle({ target }) {
  const opens = target.textContent === "Open all";
  for (const operation of document.querySelectorAll(".operation")) operation.open = opens;
  target.textContent = opens ? "Close all" : "Open all";
}

async function start() {
  const main = document.getElementById("operations");
  try {
    const answer = await fetch("openapi.json");
    if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
    new Page(new Description(await answer.json())).show();
  } catch (error) {
    main.append(element("p", { role: "alert" }, `openapi.json cannot be shown: ${error.message}`));
    return;
  }
  document.getElementById("filter").addEventListener("input", filter);
  document.getElementById("toggle").addEventListener("click", toggle);
  addEventListener("hashchange", open);
  open();
}

start();
