// Requests to the server, orders among them.

const PATIENCE_MS = 5000;

/** Asks the server; raises an error in the server's words if it refuses, and in ours if it does not answer. */
export async function ask(path, argument = undefined) {
  const order = argument && {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(argument),
  };
  let response;
  try {
    // A browser has six connections to a server: one for each window of the page, so that a request might wait for ever.
    response = await fetch(path, { ...order, signal: AbortSignal.timeout(PATIENCE_MS) });
  } catch (error) {
    if (error.name !== "TimeoutError") throw error;
    throw new Error("no answer from the server for 5 s (are more than five windows of this page open?)");
  }
  if (!response.ok) throw new Error((await response.text()).trim() || `the server said ${response.status}`);
  return response;
}
