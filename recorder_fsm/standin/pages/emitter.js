// Events, as the page's client offers them to whoever listens.
//
// Owns the listeners and nothing else. An `error` that nobody listens to is thrown, as in Node: that is what makes a
// failing microphone fatal for the v1 client.

export class EventEmitter {
  #listeners = new Map();

  on(event, listener) {
    const listeners = this.#listeners.get(event) ?? [];
    this.#listeners.set(event, [...listeners, listener]);
    return this;
  }

  once(event, listener) {
    const relay = (...args) => {
      this.off(event, relay);
      listener(...args);
    };
    relay.original = listener;
    return this.on(event, relay);
  }

  off(event, listener) {
    const listeners = this.#listeners.get(event) ?? [];
    this.#listeners.set(event, listeners.filter((known) => known !== listener && known.original !== listener));
    return this;
  }

  emit(event, ...args) {
    const listeners = this.#listeners.get(event) ?? [];
    if (event === "error" && listeners.length === 0) {
      throw args[0];
    }
    for (const listener of listeners) {
      listener(...args);
    }
    return listeners.length > 0;
  }

  removeAllListeners(event) {
    if (event === undefined) {
      this.#listeners.clear();
    } else {
      this.#listeners.delete(event);
    }
    return this;
  }
}
