; Two fixed prompts, each asked by itself, through a map.
(map {model}
   (list "What color is the sky?" "What color is clay?")
   {temperature} {max_tokens})
