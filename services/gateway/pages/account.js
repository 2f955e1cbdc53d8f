// Sends the form, with the token of a letter if there is one, when its reader says so and not before.
const form = document.querySelector("form");
const status = document.querySelector("[role=status]");
const token = location.hash.slice(1);
// Who looks at the history later does not find it there.
history.replaceState(null, "", location.pathname);
// The link of another letter, followed while this page is open.
addEventListener("hashchange", () => location.reload());

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  status.textContent = await send(Object.fromEntries(new FormData(form)));
  button.disabled = form.hidden;
});

async function send(fields) {
  try {
    const answer = await fetch(form.dataset.path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify("email" in fields ? fields : { token, ...fields }),
    });
    if (answer.ok) {
      form.hidden = true;
      return form.dataset.done;
    }
    const problem = await answer.json();
    const errors = (problem.errors ?? []).map((error) => error.detail);
    return [problem.title, ...(errors.length ? errors : [problem.detail])].join(": ");
  } catch {
    return "The shop does not answer. Try again.";
  }
}
