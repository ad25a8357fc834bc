// Questions to the server. Errors are the server's own sentences.
export const get = (path) => ask(path, {});
export const post = (path, body) => send("POST", path, JSON.stringify(body));
export const send = (method, path, body) => ask(path, { method, body });

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(`api/${path}`, options);
  } catch {
    throw new Error("The server does not answer. Trainings go on without it; start it again with mlplab ui.");
  }
  const type = answer.headers.get("content-type") || "";
  const found = type.includes("json") ? await answer.json() : { error: await answer.text() };
  if (!answer.ok) throw new Error(found.error || `The server answered ${answer.status}.`);
  return found;
}

export const png = (data) => `data:image/png;base64,${data}`;
