// Requests to the server, including orders.

const PATIENCE_MS = 5000;

/** Asks the server. If the server refuses, the error has the server's words; without an answer, it has our own. */
export async function ask(path, argument = undefined) {
  const order = argument && {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(argument),
  };
  let response;
  try {
    // A browser opens at most six connections to a server. Each window of the page uses one, so with six windows a
    // request would wait for ever without a timeout.
    response = await fetch(path, { ...order, signal: AbortSignal.timeout(PATIENCE_MS) });
  } catch (error) {
    if (error.name !== "TimeoutError") throw error;
    throw new Error("no answer from the server for 5 s (are more than five windows of this page open?)");
  }
  if (!response.ok) throw new Error((await response.text()).trim() || `the server said ${response.status}`);
  return response;
}
