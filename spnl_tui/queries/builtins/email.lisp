; n candidates of a short email are written at once; then a judge scores them and lists the best three.
(g {model}
   (seq
      (system "You judge introductory emails. Give each candidate a score from 0 to 100; specifics such as the names of people and companies make an email better. List the top 3, best first, each with its score and its full text.")
      (print "Writing {n} candidate emails")
      (plus
         (repeat {n}
            (g {model}
               (user "Write an introductory email for a job application, of at most {max_tokens} characters.")
               {temperature} {max_tokens})))
      (print "Choosing the best of them")
      (user "I am Robin, a data scientist with ten years of experience. I need an introductory email to apply for a position in the research department of a large computer company."))
   {temperature} {max_tokens})
