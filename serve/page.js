// Runs once, before the page can be used.

// Say in the player that the browser cannot play a file. Gradio would call that an error, while
// the model may well read it; a file that is no video is answered by the server.
document.addEventListener("error", (event) => {
  const player = event.target.closest && event.target.closest("#player");
  if (player) {
    event.stopImmediatePropagation();
    player.classList.add("unplayable");
  }
}, true);
document.addEventListener("loadeddata", (event) => {
  const player = event.target.closest && event.target.closest("#player");
  if (player) player.classList.remove("unplayable");
}, true);

// Every click joins the server's queue, and its reply comes through an event stream that all
// clicks share. The server ends the stream once nothing is due, and Gradio then opens another one
// with the next click that the server has confirmed. But that end and that confirmation come on
// different connections: where the confirmation is first, Gradio trusts a stream that is over, and
// nobody fetches the reply. So a confirmation is held back here until the stream has shown that it
// carries this click, or until Gradio has let go of the stream.
(() => {
  const longestHold = 5000; // milliseconds
  const plainFetch = window.fetch.bind(window);
  let stream = { over: true };
  let held = [];

  const release = () => {
    held = held.filter(({ on, event, resolve, reject }) => {
      if (on.over || on.events.has(event)) resolve();
      else if (on.error) reject(on.error);
      else return true;
      return false;
    });
  };

  const carried = (event) => new Promise((resolve, reject) => {
    held.push({ on: stream, event, resolve, reject });
    release();
    setTimeout(resolve, longestHold);
  });

  const fail = (current, error) => {
    current.error = error;
    release();
  };

  const note = (current, body) => {
    const reader = body.getReader();
    const decoder = new TextDecoder();
    let text = "";
    return new ReadableStream({
      async pull(output) {
        try {
          const { value, done } = await reader.read();
          if (done) return output.close();
          text += decoder.decode(value, { stream: true });
          for (const [, event] of text.matchAll(/"event_id":"(\w+)"/g)) current.events.add(event);
          text = text.slice(-100); // an event's name may come in two pieces
          output.enqueue(value);
          release();
        } catch (error) {
          fail(current, error);
          output.error(error);
        }
      },
      cancel: (reason) => reader.cancel(reason),
    });
  };

  const follow = async (reply, signal) => {
    const current = { over: false, events: new Set() };
    stream = current;
    signal.addEventListener("abort", () => {
      current.over = true;
      release();
    });
    try {
      const response = await reply;
      if (response.ok) return new Response(note(current, response.body), response);
      fail(current, new TypeError(`The event stream answered ${response.status}.`));
      return response;
    } catch (error) {
      fail(current, error);
      throw error;
    }
  };

  window.fetch = async (resource, options) => {
    const path = new URL(resource.url || resource, location.href).pathname;
    const reply = plainFetch(resource, options);
    if (path.endsWith("/queue/data") && resource.signal) return follow(reply, resource.signal);
    const response = await reply;
    if (path.endsWith("/queue/join") && response.ok) {
      await carried((await response.clone().json()).event_id);
    }
    return response;
  };
})();

// Times in answers are links into the video: marked where they stand, without touching the text,
// which belongs to Gradio. For the keyboard the same times are buttons below the talk.
(() => {
  const time = /(?<![\w.])(\d{1,6}(?:\.\d{1,3})?) ?s(?:econds?)?\b/g;
  const answers = "#chat [data-testid='bot']";

  const found = (root) => {
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    const ranges = [];
    while (walker.nextNode()) {
      for (const match of walker.currentNode.data.matchAll(time)) {
        const range = new Range();
        range.setStart(walker.currentNode, match.index);
        range.setEnd(walker.currentNode, match.index + match[0].length);
        ranges.push([range, Number(match[1])]);
      }
    }
    return ranges;
  };

  const mark = () => {
    if (!window.CSS || !CSS.highlights) return;
    const ranges = [...document.querySelectorAll(answers)].flatMap(found);
    CSS.highlights.set("times", new Highlight(...ranges.map(([range]) => range)));
  };

  let due = false;
  new MutationObserver(() => {
    if (due) return;
    due = true;
    requestAnimationFrame(() => { due = false; mark(); });
  }).observe(document.body, { childList: true, characterData: true, subtree: true });

  document.addEventListener("click", (event) => {
    const answer = event.target.closest && event.target.closest(answers);
    const player = document.querySelector("#player video");
    if (!answer || !player) return;
    const hit = found(answer).find(([range]) => [...range.getClientRects()].some((box) =>
      event.clientX >= box.left && event.clientX <= box.right &&
      event.clientY >= box.top && event.clientY <= box.bottom));
    if (hit) { player.pause(); player.currentTime = hit[1]; }
  });
})();
